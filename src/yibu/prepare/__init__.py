"""From raw rows to clean, distinct rows in three splits that do not leak into each other: the stage `prepare`.

==================== ===============================================================================
``settings``         the recipe's section ``data``
``layout``           which shape, which task, which columns: decided by a look at the first rows
``refine``           from a record to a usable row: a pure function of both
``clean``            profiles plain, clinical, financial, legal, strict; ``boilerplate``, ``flags``, ``language``
``privacy``          personal data masked, hashed, replaced; ``surrogates``
``review``           what people decided about rows
``workers``          the same function over many chunks; ``on_ray``: over a cluster
``gather``           the first pass: refine, and find exact duplicates (``same``)
``near``             near duplicates: clusters are groups; ``shingles``, ``values``
``place``            units to splits and folds; ``split``: by a hash, so that adding rows moves no old row
``leaks``            nothing stands in two splits; limits
``decontaminate``    test rows and benchmarks inside of train rows; ``contamination``, ``sieve``
``table``            the few bytes that are remembered of each row
``summary``          the figures, and what stops the run
``stage``            the two passes, one after the other
``trace``            what became of one row
==================== ===============================================================================
"""

from yibu.prepare.clean import CleanSettings
from yibu.prepare.fold import FoldConfig, fold
from yibu.prepare.settings import DataSettings, LimitSettings, PrepareConfig, SplitSettings
from yibu.prepare.stage import prepare

__all__ = [
    "CleanSettings",
    "DataSettings",
    "FoldConfig",
    "LimitSettings",
    "PrepareConfig",
    "SplitSettings",
    "fold",
    "prepare",
]

"""From raw rows to clean, distinct rows in three splits that do not leak into each other: the stage `prepare`.

=============== ====================================================================================
``settings``    the recipe's section ``data``
``layout``      which shape, which task, which columns: decided by a look at the first rows
``gather``      the first pass: check, clean, find duplicates, place in a split
``clean``       profiles plain, clinical, strict
``same``        when two texts count as the same
``split``       a hash decides, so that adding rows moves no old row
``leaks``       nothing stands in two splits; limits
``table``       the few bytes that are remembered of each row
``summary``     the figures, and what stops the run
``stage``       the two passes, one after the other
=============== ====================================================================================
"""

from yibu.prepare.settings import CleanSettings, DataSettings, LimitSettings, PrepareConfig, SplitSettings
from yibu.prepare.stage import prepare

__all__ = ["CleanSettings", "DataSettings", "LimitSettings", "PrepareConfig", "SplitSettings", "prepare"]

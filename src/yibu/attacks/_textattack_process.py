"""Runs TextAttack in its own Python and talks to `yibu.attacks.textattack` in JSON lines; imports nothing of yibu.

TextAttack cannot be installed beside yibu: it needs flair, and flair (0.15.1) needs transformers below 5. It lives in
an environment of its own and is run as a process. The parent writes one line with the work; this process writes lines
of two sorts: ``{"ask": [texts]}``, which the parent answers with ``{"probabilities": [[...]]}``, and ``{"done": ...}``.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

# The function words that an attack leaves alone. TextAttack asks nltk for such a list when it is imported, and nltk
# would fetch it from the internet.
STOPWORDS = (
    "a about above after again against all am an and any are as at be because been before being below between both but "
    "by can did do does doing don down during each few for from further had has have having he her here hers herself "
    "him himself his how i if in into is it its itself just me more most my myself no nor not now of off on once only "
    "or other our ours ourselves out over own same she should so some such than that the their theirs them themselves "
    "then there these they this those through to too under until up very was we were what when where which while who "
    "whom why will with you your yours yourself yourselves"
)


def main() -> None:
    """Read the work from the standard input, do it, write the answer to the standard output."""
    # TextAttack prints what it likes; only this copy of the standard output belongs to the protocol.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    work = json.loads(sys.stdin.readline())
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder, "nltk", "corpora", "stopwords", "english")
        words.parent.mkdir(parents=True)
        words.write_text("\n".join(STOPWORDS.split()) + "\n", encoding="utf-8")
        os.environ.update(
            NLTK_DATA=str(words.parents[2]), TA_CACHE_DIR=folder, HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false"
        )
        done = attack(work, out)
    out.write(json.dumps({"done": done}) + "\n")
    out.flush()


def attack(work: dict[str, Any], out: Any) -> list[dict[str, Any]]:
    """Attack each text; ``status`` and the text that came out."""
    import numpy
    import textattack
    from textattack.attack_results import MaximizedAttackResult, SkippedAttackResult, SuccessfulAttackResult
    from textattack.constraints.overlap import LevenshteinEditDistance
    from textattack.constraints.pre_transformation import (
        MinWordLength,
        RepeatModification,
        StopwordModification,
    )
    from textattack.goal_functions import UntargetedClassification
    from textattack.models.wrappers import ModelWrapper
    from textattack.search_methods import GreedyWordSwapWIR

    class Asking(ModelWrapper):  # type: ignore[misc]
        """A model whose answers come from the parent."""

        def __init__(self) -> None:
            self.model = None

        def __call__(self, texts: list[str]) -> Any:
            out.write(json.dumps({"ask": list(texts)}) + "\n")
            out.flush()
            return numpy.array(json.loads(sys.stdin.readline())["probabilities"])

    goal = UntargetedClassification(Asking(), query_budget=work["queries"], use_cache=True)
    constraints = [
        RepeatModification(),
        StopwordModification(),
        MinWordLength(work["shortest_word"]),
        LevenshteinEditDistance(work["most"]),
    ]
    made = textattack.Attack(goal, constraints, _transformation(work["changes"]), GreedyWordSwapWIR())
    made.cuda_ = False
    done = []
    for text, label in zip(work["texts"], work["labels"], strict=True):
        random.seed(work["seed"])
        numpy.random.seed(work["seed"] % 2**32)
        result = made.attack(text, label)
        flipped = isinstance(result, SuccessfulAttackResult | MaximizedAttackResult)
        status = "wrong" if isinstance(result, SkippedAttackResult) else "flipped" if flipped else "held"
        queries = int(result.perturbed_result.num_queries)
        done.append({"status": status, "text": result.perturbed_text() if flipped else text, "queries": queries})
    return done


def _transformation(changes: list[str]) -> Any:
    """Those of TextAttack's changes that need no model, no corpus and no network."""
    from textattack import transformations as known

    made = {
        "neighbours": lambda: known.WordSwapNeighboringCharacterSwap(random_one=False, skip_first_char=True),
        "keyboard": lambda: known.WordSwapQWERTY(random_one=False, skip_first_char=True),
        "deletion": lambda: known.WordSwapRandomCharacterDeletion(random_one=False, skip_first_char=True),
        "insertion": lambda: known.WordSwapRandomCharacterInsertion(random_one=True, skip_first_char=True),
        "substitution": lambda: known.WordSwapRandomCharacterSubstitution(random_one=True, skip_first_char=True),
        "homoglyphs": lambda: known.WordSwapHomoglyphSwap(random_one=False),
    }
    return known.CompositeTransformation([made[change]() for change in changes])


if __name__ == "__main__":
    main()

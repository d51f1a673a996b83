"""Are the experts that yibu chooses those that DeepSeek chose?

`shared/data/esft_experts` holds what the authors of ESFT (arXiv 2407.01906) published for their translation task: the
share of tokens of each of the 64 experts in the 26 sparse layers of DeepSeek-V2-Lite, and the experts they chose by it
with p = 0.2. A layer counts as equal where both name the same experts in the same order.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from claims import record
from yibu.adapters.experts import choose

DATA = Path(__file__).parents[2] / "shared" / "data" / "esft_experts"
P = 0.2


def equal_layers() -> tuple[int, int]:
    """Layers with the authors' choice, and all layers."""
    scores = json.loads((DATA / "translation_scores.json").read_text(encoding="utf-8"))["token_scores"]
    published = json.loads((DATA / "translation_config.json").read_text(encoding="utf-8"))["experts"]
    chosen = choose({int(layer): [row[str(e)] for e in range(len(row))] for layer, row in scores.items()}, P)
    wanted = {int(layer): tuple(experts) for layer, experts in published.items()}
    return sum(chosen.get(layer) == experts for layer, experts in wanted.items()), len(wanted)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="print the figure, write no row")
    dry_run = parser.parse_args().dry_run
    equal, layers = equal_layers()
    print(f"{equal} of {layers} layers equal")
    if not dry_run:
        record("adapt.esft_layers_equal", equal, unit="layers", n=layers, goal="== 26")

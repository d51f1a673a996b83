"""Runs llama.cpp's own converter, told which pre-tokenizer it is, where the tokenizer's own file says so.

``python -I _convert.py LLAMA_CPP SCRIPT PRE ARGUMENTS...``: PRE is a name of llama.cpp (``gpt-2``), or ``-`` for none.
The converter guesses by a hash of what a tokenizer makes of one text. One that was trained anew has a hash of its own,
however ordinary it is; and two that differ elsewhere can have the same (digits alone or not: measured on SmolLM2 out
of a GGUF, whose ids then differed behind a blank line). That the name is right is proven by the token ids of the
running server.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path


def main(tree: Path, script: str, pre: str, arguments: list[str]) -> None:
    """Import what the converter is made of, and run it."""
    os.environ.pop("NO_LOCAL_GGUF", None)
    sys.path[:0] = [str(tree), str(tree / "gguf-py")]
    if pre != "-":
        from conversion.base import TextModel

        TextModel.get_vocab_base_pre = lambda self, tokenizer: pre
    sys.argv = [str(tree / script), *arguments]
    runpy.run_path(str(tree / script), run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])

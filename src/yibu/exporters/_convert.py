"""Runs llama.cpp's own converter, with the name of a byte-level pre-tokenizer that it does not know by its hash.

``python _convert.py LLAMA_CPP SCRIPT PRE ARGUMENTS...``: PRE is a name of llama.cpp (``gpt-2``), or ``-`` for none. The
converter knows tokenizers by a hash of what they make of one text; one that was trained anew has a hash of its own, however
ordinary it is. That the name is right is proven afterwards, by the token ids of the running server.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any


def main(tree: Path, script: str, pre: str, arguments: list[str]) -> None:
    """Import what the converter is made of, and run it."""
    os.environ.pop("NO_LOCAL_GGUF", None)
    sys.path[:0] = [str(tree), str(tree / "gguf-py")]
    if pre != "-":
        from conversion.base import TextModel  # type: ignore[import-not-found]

        known = TextModel.get_vocab_base_pre

        def named(self: Any, tokenizer: Any) -> str:
            try:
                return str(known(self, tokenizer))
            except NotImplementedError:
                return pre

        TextModel.get_vocab_base_pre = named
    sys.argv = [str(tree / script), *arguments]
    runpy.run_path(str(tree / script), run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])

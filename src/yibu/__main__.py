"""``python -m yibu`` is ``yibu``; so is ``torchrun ... -m yibu``."""

from yibu.cli import main

main()

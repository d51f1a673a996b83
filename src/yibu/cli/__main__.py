"""``python -m yibu.cli`` is ``yibu``, where the command is not on the path."""

from yibu.cli import main

main()

"""``python -m lrtheory``: the command line."""

from .cli import main

main()

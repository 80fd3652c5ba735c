"""``python -m headscope``: the command line."""

from headscope.cli import main

main()

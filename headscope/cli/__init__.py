"""The command line: one verb a file, each option declared once (``options.py``). Parse, call the verb, print."""

from __future__ import annotations

from headscope.cli.app import main

__all__ = ["main"]

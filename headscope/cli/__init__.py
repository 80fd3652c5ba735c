"""The command line: one verb a file, made of groups of options (``settings``). Parse, call the verb, print."""

from __future__ import annotations

from headscope.cli.app import main

__all__ = ["main"]

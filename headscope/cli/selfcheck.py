"""``headscope selfcheck``: does this installation find what is known to be there?"""

from __future__ import annotations

from headscope.cli import options


def command(json: options.Json = False) -> None:
    """Measure models that were set by hand, and say whether their known heads were found.

    [bold]Examples[/bold]

    headscope selfcheck

    headscope selfcheck --json
    """

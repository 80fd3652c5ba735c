"""What the live view needs beside headscope, asked for before a model is loaded."""

from __future__ import annotations

import importlib.util

from headscope.errors import RequestError

_NEEDED = {"starlette": "Starlette", "uvicorn": "uvicorn"}


def require_extra() -> None:
    """Raise RequestError where a library of the live view is not installed."""
    missing = [shown for name, shown in _NEEDED.items() if importlib.util.find_spec(name) is None]
    if missing:
        raise RequestError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed",
            fix='pip install "headscope[explore]"',
        )

"""What a function of the user's is, for the request: results depend on it as they do on an option."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from headscope.errors import RequestError


def source_fingerprint(what: str, function: Callable[..., Any]) -> str:
    """SHA-256 of a function's source, or of its code where the source is not to be had; ``what`` names it in errors."""
    if not isinstance(function, FunctionType):
        raise RequestError(f"{what} is no function", expected="a def under the decorator")
    try:
        source = inspect.getsource(function)
    except OSError:
        code = function.__code__
        source = repr((code.co_code, code.co_names, [str(constant) for constant in code.co_consts]))
    return hashlib.sha256(source.encode()).hexdigest()

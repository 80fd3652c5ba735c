"""Numbers as a reader sees them. The only place where anything is rounded.

Three decimals below 1, two from 1, one from 10, none from 1000; very small numbers keep two digits in scientific
notation instead of turning into 0.000. A missing number is an em dash, and never 0.
"""

from __future__ import annotations

from math import floor, isfinite, isinf, isnan, nan
from typing import Any

import pandas as pd

MISSING = "—"
MINUS = "−"
_STEPS = ((1000.0, 0), (10.0, 1), (1.0, 2), (0.0005, 3))
_SMALLEST_P = 0.001
_NEAR_ONE = (0.8, 1.25)


def as_float(value: Any) -> float:
    """A cell as float, NaN where it is missing."""
    return nan if value is None or value is pd.NA else float(value)


def number(value: Any) -> str:
    """A quantity, e.g. ``−0.412``, ``12.3``, ``4.1e−05``, ``—``."""
    quantity = as_float(value)
    if isnan(quantity):
        return MISSING
    if isinf(quantity):
        return "∞" if quantity > 0 else f"{MINUS}∞"
    if quantity == 0:
        return "0"
    for at_least, decimals in _STEPS:
        if abs(quantity) >= at_least:
            return f"{quantity:.{decimals}f}".replace("-", MINUS)
    return f"{quantity:.1e}".replace("-", MINUS)


def fixed(value: Any, decimals: int, *, signed: bool = False) -> str:
    """A quantity with so many decimals, for columns that are read beside published ones: ``0.3404``, ``—``."""
    quantity = as_float(value)
    text = f"{quantity:{'+' if signed else ''}.{decimals}f}"
    return text.replace("-", MINUS) if isfinite(quantity) else number(quantity)


def count(value: Any) -> str:
    """A whole number, e.g. ``432``; ``—`` where it is missing."""
    quantity = as_float(value)
    return str(floor(quantity + 0.5)) if isfinite(quantity) else MISSING


def interval(low: Any, high: Any) -> str:
    """``[−0.551, −0.284]``, or ``—`` where an end is missing."""
    if isnan(as_float(low)) or isnan(as_float(high)):
        return MISSING
    return f"[{number(low)}, {number(high)}]"


def probability(value: Any) -> str:
    """A p or q for a table's cell: ``0.012``, ``< 0.001``, ``—``."""
    p_value = as_float(value)
    if isnan(p_value):
        return MISSING
    return f"< {_SMALLEST_P}" if p_value < _SMALLEST_P else f"{p_value:.3f}"


def equation(name: str, value: Any) -> str:
    """A p or q for a sentence: ``p = 0.012``, ``q < 0.001``."""
    text = probability(value)
    return f"{name} {text}" if text.startswith("<") else f"{name} = {text}"


def ratio(value: Any) -> str:
    """A ratio whose distance from 1 matters: three decimals where it is near, ``1.043``, else as any number."""
    quantity = as_float(value)
    return f"{quantity:.3f}" if _NEAR_ONE[0] < quantity < _NEAR_ONE[1] else number(quantity)


def ratio_interval(low: Any, high: Any) -> str:
    """``[0.998, 1.051]``, or ``—`` where an end is missing."""
    if isnan(as_float(low)) or isnan(as_float(high)):
        return MISSING
    return f"[{ratio(low)}, {ratio(high)}]"


def share(value: Any) -> str:
    """A share as percent: ``94.3 %``."""
    quantity = as_float(value)
    return MISSING if isnan(quantity) else f"{100 * quantity:.1f} %".replace("-", MINUS)

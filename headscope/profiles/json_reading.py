"""JSON as a profile's files may hold it: what JSON itself refuses is refused, in headscope's words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

from headscope.errors import ProfileError


def parse_json(text: str, where: Callable[[int], str]) -> Any:
    """JSON into plain data; a key that stands twice, NaN and infinities are refused as JSON itself refuses them.

    ``where`` leads from a line of ``text``, counted from 1, to the place that the ProfileError names.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ProfileError(f'key "{twice}" stands twice', expected="each key once", where=where(1))
        return content

    def refuse_constant(name: str) -> NoReturn:
        raise ProfileError("JSON is broken", got=f"{name}, which is no JSON value", where=where(1))

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        raise ProfileError(
            "JSON is broken", got=f"{error.msg}, column {error.colno}", where=where(error.lineno)
        ) from error
    except ValueError as error:  # an integer of more digits than Python reads
        raise ProfileError("JSON is broken", got=str(error), where=where(1)) from error
    except RecursionError as error:
        raise ProfileError("JSON is nested too deeply", where=where(1)) from error

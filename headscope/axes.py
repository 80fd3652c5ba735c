"""The vocabulary of axes, and the guard that an array has the axes it claims.

Arrays cross rooms as xarray objects whose dimensions come from this list and nowhere else, so that a transposed or
mislabelled array fails where it is made and not three rooms later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headscope.errors import WorkError

if TYPE_CHECKING:
    import xarray as xr

AXES = {
    "prompt": "one text put to the model; coordinates concept, template, pair",
    "layer": "attention layer, counted from 0",
    "head": "head within its layer, counted from 0",
    "edit": "which heads are edited and how; coordinates heads, kind, role",
    "lexicon": "the concept whose words' probability is read",
    "sample": "one of several sampled continuations of a prompt",
    "arm": "baseline or edited",
    "example": "one prompt whose attention is kept token by token",
    "token": "position in an example's text, a BOS included",
}

REGIONS = ("span", "prompt", "punctuation", "readout", "first_token", "query")
"""Parts of a text read from its end: the concept's words, the rest of the prompt, its final punctuation, the readout
without the query, the first token (BOS where there is one), the query itself."""


def check_axes(array: xr.DataArray, expected: Sequence[str]) -> xr.DataArray:
    """Return ``array`` unchanged if its dimensions are exactly ``expected``, in that order.

    Raises:
        WorkError: they are not, or one of them is not in the vocabulary.
    """
    if tuple(map(str, array.dims)) != tuple(expected) or not set(expected) <= AXES.keys():
        raise WorkError(
            f'array "{array.name}" has the wrong axes',
            expected=", ".join(expected),
            got=", ".join(map(str, array.dims)),
        )
    return array

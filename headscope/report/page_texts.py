"""Texts of a run for its page: prompts by id, attention rows of the examples, continuations with their difference.

A difference is found word by word (difflib's longest matching blocks): what both arms wrote is plain, what only one
wrote is marked. Texts go into the page as data, and its script shows them as text and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from headscope.terms import STEERING_EDITS

_WORDS = re.compile(r"\s+|[^\W_]+|.", re.S)
_LONGEST_COMPARED = 4000
"""Continuations of more characters are shown without marks: comparing them takes time that grows with the square."""


def difference(before: str, after: str) -> list[list[str]]:
    """Pieces of two texts in order: ``["=", text]``, ``["-", only before]``, ``["+", only after]``.

    White space between two differences counts as part of them, so that sentences with nothing in common stand one
    behind the other and not word beside word.
    """
    if max(len(before), len(after)) > _LONGEST_COMPARED:
        return [["=", before]] if before == after else _changed(before, after)
    first, second = _WORDS.findall(before), _WORDS.findall(after)
    opcodes = SequenceMatcher(None, first, second, autojunk=False).get_opcodes()
    pieces: list[list[str]] = []
    removed, added = "", ""
    for at, (kind, a, b, c, d) in enumerate(opcodes):
        old, new = "".join(first[a:b]), "".join(second[c:d])
        inner = 0 < at < len(opcodes) - 1
        if kind == "equal" and (old.strip() or not inner):
            pieces += [*_changed(removed, added), ["=", old]]
            removed, added = "", ""
        else:
            removed, added = removed + old, added + new
    return [*pieces, *_changed(removed, added)]


def _changed(removed: str, added: str) -> list[list[str]]:
    return [[sign, text] for sign, text in (("-", removed), ("+", added)) if text]


def texts_of(tables: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Continuations of both arms where heads were taken away or patched, each with its difference."""
    texts = tables.get("texts")
    if texts is None:
        return []
    without = texts[~texts["edit"].isin(list(STEERING_EDITS))]  # those steered stand in the part on steering
    return [
        {
            **{name: str(row[name]) for name in ("concept", "prompt_id", "heads", "edit", "direction", "prompt")},
            "sample": int(row["sample"]),
            "pieces": difference(str(row["baseline_text"]), str(row["edited_text"])),
        }
        for row in without.to_dict("records")
    ]


def prompt_texts(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Prompt id -> text, as far as the run kept it."""
    texts = tables.get("texts")
    return {} if texts is None else dict(zip(map(str, texts["prompt_id"]), map(str, texts["prompt"]), strict=True))


def examples_of(arrays: Mapping[str, xr.Dataset]) -> list[dict[str, Any]]:
    """The prompts whose attention was kept token by token; ``rows[layer][head]`` are whole thousandths of attention."""
    dataset = arrays.get("screen")
    if dataset is None or "example_attention" not in dataset.data_vars:
        return []
    found: list[dict[str, Any]] = []
    tokens, in_span = dataset["token_text"].to_numpy(), dataset["token_in_span"].to_numpy()
    for index, values in enumerate(dataset["example_attention"].to_numpy()):
        query = int(dataset["example_query"].to_numpy()[index])
        seen = values[..., : query + 1]
        thousandths = np.rint(1000 * np.nan_to_num(seen)).astype(int).astype(object)
        thousandths[np.isnan(seen)] = None
        found.append(
            {
                "id": str(dataset["example"].to_numpy()[index]),
                "concept": str(dataset["example_concept"].to_numpy()[index]),
                "tokens": [str(token) for token in tokens[index][: query + 1]],
                "in_span": [bool(inside) for inside in in_span[index][: query + 1]],
                "query": query,
                "rows": thousandths.tolist(),
            }
        )
    return found

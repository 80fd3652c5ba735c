"""CausalGym's pairs: ``base`` and ``src``, lists of tokens that stand over each other, and the label each asks for.

The tokens joined are the texts (a token that begins every text left out); where two differ, both are marked. Right is
the base's label, wrong the source's.
"""

from __future__ import annotations

from typing import Any

from headscope.profiles.columns import Table
from headscope.profiles.importing.cells import following, list_of, shortened, text_of
from headscope.profiles.importing.kinds import Cells, Found, Importer, Left, Span, TaskRow, Wanted, each

BEGINNINGS = ("<|endoftext|>", "<s>", "<bos>", "<|begin_of_text|>", "[BOS]")


def read(table: Table, _: Wanted) -> Found:
    """The rows of a table."""
    return Found(list(each(table, _one)), ["base is the prompt, src its corrupted partner"])


def _one(cells: Cells) -> TaskRow | Left:
    base, source = (_tokens(cells.get(name)) for name in ("base", "src"))
    if base is None or source is None:
        return Left("base or src is no list of tokens", shortened(cells.get("base")))
    if len(base) != len(source):
        return Left("base and src have different numbers of tokens", f"{len(base)} and {len(source)}")
    right, wrong = text_of(cells.get("base_label")), text_of(cells.get("src_label"))
    if right is None or wrong is None:
        return Left("it has no answer or no foil")
    spans, other_spans = _changed(base, source)
    text, other = "".join(base), "".join(source)
    answers, foils = ((following(text, one),) for one in (right, wrong))
    return TaskRow(text, answers, foils, spans, other, other_spans)


def _tokens(value: Any) -> list[str] | None:
    tokens = list_of(value)
    if tokens is None or not all(isinstance(token, str) for token in tokens):
        return None
    return tokens[1:] if tokens and tokens[0] in BEGINNINGS else tokens


def _changed(base: list[str], source: list[str]) -> tuple[dict[str, Span], dict[str, Span]]:
    """The tokens that differ, in both texts, white space at their edges left out."""
    found: list[tuple[Span, Span]] = []
    ends = [0, 0]
    for one, two in zip(base, source, strict=True):
        if one != two and one.strip() and two.strip():
            found.append((_bare(one, ends[0]), _bare(two, ends[1])))
        ends = [ends[0] + len(one), ends[1] + len(two)]
    names = ["changed"] if len(found) == 1 else [f"changed_{number}" for number in range(1, len(found) + 1)]
    named = list(zip(names, found, strict=True))
    return {name: pair[0] for name, pair in named}, {name: pair[1] for name, pair in named}


def _bare(token: str, start: int) -> Span:
    first = start + len(token) - len(token.lstrip())
    return first, first + len(token.strip())


CAUSALGYM = Importer(
    "causalgym",
    "base, src, base_label, src_label",
    ("base_label",),
    lambda table: {"base", "src", "base_label", "src_label"} <= {*table.columns},
    read,
)

"""Attention heads and sets of them, and the one grammar in which people write them.

``1:10`` is layer 1, head 10, both counted from 0. ``L1H10`` says the same. ``3:0-5`` is six heads, ``7:*`` a whole
layer, ``*`` every head, and a comma joins: ``1:10,3:2``. A head that stands twice is an error, because a set with a
head twice is almost always a slip. File names use the slugs ``L1H10`` and ``1_10-3_2``, in which ``1:10`` and
``11:0`` differ.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from headscope.errors import RequestError

_ITEM = re.compile(
    r"^(?:L(?P<named_layer>\d+)H(?P<named_head>\d+)|(?P<layer>\d+):(?P<heads>\*|\d+(?:-\d+)?))$", re.I | re.A
)
_GRAMMAR = 'heads as "1:10", "L1H10", "3:0-5", "7:*" or "*", joined by commas'


@dataclass(frozen=True, order=True)
class Head:
    """One attention head: ``layer`` and ``head``, both counted from 0. Sorts by layer, then head."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.head}"

    @property
    def name(self) -> str:
        """The head as papers write it, ``L1H10``; safe in file names."""
        return f"L{self.layer}H{self.head}"


@dataclass(frozen=True)
class HeadSet:
    """Distinct heads in sorted order. ``str`` gives the canonical spec, e.g. ``1:10,3:2``."""

    heads: tuple[Head, ...]

    @classmethod
    def of(cls, heads: Iterable[Head]) -> HeadSet:
        """A set from heads in any order. Raises RequestError where a head stands twice or there is none."""
        ordered = tuple(sorted(heads))
        if not ordered:
            raise RequestError("a set of heads is empty", expected=_GRAMMAR)
        for first, second in itertools.pairwise(ordered):
            if first == second:
                raise RequestError(
                    f"head {first} stands twice in the set",
                    expected="each head once",
                    fix=f"remove one of the two {first}",
                )
        return cls(ordered)

    @classmethod
    def parse(cls, spec: str, heads_per_layer: Sequence[int], where: str | None = None) -> HeadSet:
        """Read a spec against a model's shape.

        Args:
            spec: e.g. ``"1:10,3:2"``; the grammar is in the module's docstring. White space is ignored.
            heads_per_layer: number of heads of each layer.
            where: it stands, for messages; None: on the command line, or in a call.

        Raises:
            RequestError: the spec is malformed, a head stands twice, or a head does not exist in this model.
        """
        text = re.sub(r"\s+", "", spec)
        if text == "*":
            return cls(every_head(heads_per_layer))
        return cls.of(head for item in text.split(",") for head in _parse_item(item, spec, heads_per_layer, where))

    def __str__(self) -> str:
        return ",".join(map(str, self.heads))

    def __iter__(self) -> Iterator[Head]:
        return iter(self.heads)

    def __len__(self) -> int:
        return len(self.heads)

    def __contains__(self, head: object) -> bool:
        return head in self.heads

    @property
    def slug(self) -> str:
        """The set as the Phase 6 study writes it in file names, e.g. ``1_10-3_2``."""
        return "-".join(f"{head.layer}_{head.head}" for head in self.heads)


def every_head(heads_per_layer: Sequence[int]) -> tuple[Head, ...]:
    """All heads of a model with ``heads_per_layer[layer]`` heads in each layer (0 for none), layer by layer."""
    return tuple(Head(layer, head) for layer, count in enumerate(heads_per_layer) for head in range(count))


def _parse_item(item: str, spec: str, heads_per_layer: Sequence[int], where: str | None) -> Iterator[Head]:
    match = _ITEM.match(item)
    if match is None:
        raise RequestError(f'head spec "{spec}" is malformed', expected=_GRAMMAR, got=f'"{item}"', where=where)
    layer = int(match["layer"] or match["named_layer"])
    heads = match["heads"] or match["named_head"]
    n_layers = len(heads_per_layer)
    if layer >= n_layers:
        raise _no_such_head(item, heads_per_layer, where)
    if heads_per_layer[layer] == 0:
        raise RequestError(
            f"layer {layer} has no attention heads",
            expected=f"one of layers {', '.join(str(n) for n, count in enumerate(heads_per_layer) if count)}",
            got=item,
            where=where,
        )
    if heads == "*":
        first, last = 0, heads_per_layer[layer] - 1
    else:
        first, last = int(heads.split("-")[0]), int(heads.split("-")[-1])
    if last < first:
        raise RequestError(
            f'head range "{item}" runs backwards', expected=f'"{layer}:{last}-{first}"', got=f'"{item}"', where=where
        )
    if last >= heads_per_layer[layer]:
        raise _no_such_head(item, heads_per_layer, where)
    yield from (Head(layer, head) for head in range(first, last + 1))


def _no_such_head(item: str, heads_per_layer: Sequence[int], where: str | None) -> RequestError:
    n_layers, counts = len(heads_per_layer), sorted(set(heads_per_layer) - {0})
    n_heads = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return RequestError(
        f"model has {n_layers} layers of {n_heads} heads; {item} does not exist",
        expected=f"layers 0-{n_layers - 1}, heads 0-{max(counts) - 1}",
        got=item,
        where=where,
    )

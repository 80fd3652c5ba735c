"""Where heads look: the attention that chosen queries pay to chosen keys, for every head, streamed.

1. A probe names a sequence, its query tokens and its key tokens (a span). Probes of one sequence, and sequences of one
   tree, share a row and a pass.
2. For each query the keys form groups: the span (without the query itself), the first token (the sink), and the query.
   The model's seam gives each group's share of the attention row, and the norm of what the head writes from the span,
   ||sum_j a[i, j] v_j W_O||_2 (Kobayashi et al. 2020). ``attention_without_sinks`` is the span's share of what the
   query spends on other tokens than the first and itself: a quotient of two sums of the same small shares, never of
   1 - sink - self, which rounds to nothing where nearly all is there; NaN below ``SMALLEST_REMAINDER``.
3. A probe's value is the mean over its queries (over those that have one); a probe without queries or keys is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from headscope.measure.memory import in_halves
from headscope.measure.protocols import Progress, told
from headscope.models.batches import batch_of
from headscope.models.head_model import HeadModel
from headscope.models.reading import RowQueries, read_attention
from headscope.tokens import Row, pack_rows, plan_batches, tree_row

FloatArray = npt.NDArray[np.float64]

ROW_TOKENS = 128
"""Rows of packed prefixes hold about this many tokens: longer ones spend more on attention than sharing saves."""


@dataclass(frozen=True)
class Probe:
    """What is read of one sequence.

    Attributes:
        sequence: index of the sequence.
        queries: indices of the tokens that look.
        keys: indices of the tokens looked at.
        exclude_query: leave a query's attention to itself out of the keys' sum.
    """

    sequence: int
    queries: tuple[int, ...]
    keys: tuple[int, ...]
    exclude_query: bool = True


SMALLEST_REMAINDER = 1e-3
"""Attention beside sink and self of which a share is still taken. Two machines agree on a share of attention within
``rounding.pass_bound``, in float32 from 1e-5 to 4e-4 (100 layers of width 8192). A remainder below the next power of
ten is not told from nothing on each of them, and a share of nothing is no number."""

MEASURES = ("attention", "value_weighted", "attention_without_sinks", "sink_share", "self_share")
UNITS = {
    "attention": "attention_share",
    "value_weighted": "residual_norm",
    "attention_without_sinks": "attention_share",
    "sink_share": "attention_share",
    "self_share": "attention_share",
}


@dataclass(frozen=True)
class _Query:
    """One query of one probe, placed in a row."""

    probe: int
    token: int
    root: int
    keys: list[int]


def read_probes(
    model: HeadModel,
    sequences: Sequence[Sequence[int]],
    probes: Sequence[Probe],
    *,
    batch_tokens: int,
    pack: bool,
    progress: Progress | None = None,
    halved: Callable[[int], None] | None = None,
) -> dict[str, FloatArray]:
    """Every measure of ``MEASURES`` for every probe and head.

    ``pack``: share prefixes between sequences, where the model's load check found this equal.

    Returns:
        Measure -> [n_probes, n_layers, n_heads]; the mean over a probe's queries; NaN where a probe has no query or
        no key, and for heads a layer does not have. ``attention_without_sinks``: over the queries that leave
        ``SMALLEST_REMAINDER``, NaN where none does.
    """
    rows = rows_of(model, sequences, pack=pack)
    by_sequence: dict[int, list[int]] = {}
    for index, probe in enumerate(probes):
        if probe.queries and probe.keys:
            by_sequence.setdefault(probe.sequence, []).append(index)
    shape = (len(probes), len(model.heads_per_layer), max(model.heads_per_layer))
    values = {measure: np.full(shape, np.nan) for measure in MEASURES}
    plan = plan_batches([len(row) for row, _ in rows], batch_tokens, model.row_limits)
    for members in told(plan, "attention", len(plan), progress):
        batch = [rows[index] for index in members]
        n_halved = in_halves(batch, lambda some: _read_batch(model, some, probes, by_sequence, values))
        if n_halved and halved is not None:
            halved(n_halved)
    return values


def rows_of(model: HeadModel, sequences: Sequence[Sequence[int]], *, pack: bool) -> list[tuple[Row, list[int]]]:
    """Rows for ``sequences``, each with the indices of its sequences: trees where ``pack`` and the model allow them."""
    if pack and model.tree_row_limit is not None:
        return pack_rows(sequences, min(ROW_TOKENS, model.tree_row_limit))
    return [(tree_row([sequence]), [index]) for index, sequence in enumerate(sequences)]


def _read_batch(
    model: HeadModel,
    rows: Sequence[tuple[Row, list[int]]],
    probes: Sequence[Probe],
    by_sequence: dict[int, list[int]],
    values: dict[str, FloatArray],
) -> None:
    placed = [_place(row, sequences, probes, by_sequence) for row, sequences in rows]
    n_queries, width = max(map(len, placed)), max(len(row) for row, _ in rows)
    if n_queries == 0:
        return
    tokens = torch.zeros((len(rows), n_queries), dtype=torch.long)
    valid = torch.zeros((len(rows), n_queries), dtype=torch.bool)
    keys = torch.zeros((len(rows), n_queries, 5, width), dtype=torch.bool)
    places: dict[int, list[tuple[int, int]]] = {}
    for r, queries in enumerate(placed):
        for q, query in enumerate(queries):
            tokens[r, q], valid[r, q] = query.token, True
            keys[r, q, 0, query.keys] = True
            keys[r, q, 1, query.root] = True
            keys[r, q, 2, query.token] = True
            beside = [query.root, query.token]
            keys[r, q, 3, query.keys] = True
            keys[r, q, 4] = True  # what a query cannot see has no attention
            keys[r, q, 3:, beside] = False
            places.setdefault(query.probe, []).append((r, q))
    batch = batch_of([row for row, _ in rows], model.device)
    on_device = RowQueries(tokens.to(model.device), valid.to(model.device), keys.to(model.device))
    reading = read_attention(model, batch, on_device, written_groups=1)  # the span's
    mass = reading.mass.numpy()
    written = reading.written.numpy()[..., 0]
    for index, where in places.items():
        r, q = [row for row, _ in where], [query for _, query in where]
        span, sink, itself, beside, remainder = np.moveaxis(mass[:, r, q].astype(np.float64), -1, 0)  # each [L, n, H]
        defined = remainder >= SMALLEST_REMAINDER
        shares = np.where(defined, beside / np.where(defined, remainder, 1.0), 0.0).sum(axis=1)
        n_defined = defined.sum(axis=1)
        values["attention"][index] = span.mean(axis=1)
        values["value_weighted"][index] = written[:, r, q].astype(np.float64).mean(axis=1)
        values["attention_without_sinks"][index] = np.where(n_defined, shares / np.maximum(n_defined, 1), np.nan)
        values["sink_share"][index] = sink.mean(axis=1)
        values["self_share"][index] = itself.mean(axis=1)


def _place(row: Row, sequences: list[int], probes: Sequence[Probe], by_sequence: dict[int, list[int]]) -> list[_Query]:
    """The queries of one row's probes, with tokens as indices of the row."""
    queries: list[_Query] = []
    for path, sequence in zip(row.paths, sequences, strict=True):
        for index in by_sequence.get(sequence, ()):
            probe = probes[index]
            for query in probe.queries:
                keys = [int(path[key]) for key in probe.keys if not (probe.exclude_query and key == query)]
                queries.append(_Query(index, int(path[query]), int(path[0]), keys))
    return queries

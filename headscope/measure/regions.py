"""Attention at the place of the answer by region of the text, for every head, in one pass; see ``stats.regions``.

Each prompt is read with each readout after it, from the readout's last token (from the prompt's last token where the
profile has no readouts). Every token up to there belongs to one region; one that could belong to two goes to the first
of: the query itself, the first token, the concept's words, the readout, the final punctuation, the rest of the prompt
(with what a chat template puts around it). A token that holds a letter beside a punctuation mark is no punctuation.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float

from headscope.measure.attention import rows_of
from headscope.measure.memory import in_halves
from headscope.measure.protocols import Progress, told
from headscope.models.batches import batch_of
from headscope.models.head_model import HeadModel
from headscope.models.reading import RowQueries, read_attention
from headscope.profiles.types import Prompt
from headscope.terms import REGIONS
from headscope.tokens import Encoder, Row, plan_batches

FloatArray = npt.NDArray[np.float64]

SPAN, PROMPT, PUNCTUATION, READOUT, FIRST_TOKEN, QUERY = range(len(REGIONS))


@dataclass(frozen=True)
class Divided:
    """A text read from its last token.

    Attributes:
        ids: token ids.
        regions: [T] the region of each token, an index of ``terms.REGIONS``; the last one is the query.
    """

    ids: tuple[int, ...]
    regions: npt.NDArray[np.int8]


def divide(encoder: Encoder, prompt: Prompt, readout: str | None) -> Divided:
    """The regions of ``prompt`` (which has a span) with ``readout`` after it; alone for None."""
    tokens, continuation = encoder.encode_prompt(prompt), ""
    if readout is not None:
        continuation = encoder.continuation(tokens.text, readout)
        tokens = encoder.encode_prompt(prompt, continuation)

    def tokens_of(start: int, end: int) -> list[int]:
        return list(tokens.of_span(encoder.place_span(prompt, (start, end))))

    regions = np.full(len(tokens), PROMPT, dtype=np.int8)
    start = max(final_punctuation(prompt.text), prompt.parts[-1].start)
    regions[tokens_of(start, len(prompt.text))] = PUNCTUATION
    regions[tokens_of(0, start)] = PROMPT
    regions[list(tokens.of_span((len(tokens.text) - len(continuation), len(tokens.text))))] = READOUT
    for place in prompt.marked:
        regions[tokens_of(*place)] = SPAN
    regions[0] = FIRST_TOKEN
    regions[-1] = QUERY
    return Divided(tokens.ids, regions)


def final_punctuation(text: str) -> int:
    """Where the marks begin with which ``text`` ends; its end, white space left out, where there are none."""
    end = len(text.rstrip())
    start = end
    while start and (unicodedata.category(text[start - 1])[0] in "PS" or text[start - 1].isspace()):
        start -= 1
    return start if text[start:end].strip() else end


def read_regions(
    model: HeadModel,
    texts: Sequence[Divided],
    owners: Sequence[int],
    n_owners: int,
    *,
    batch_tokens: int,
    pack: bool,
    progress: Progress | None = None,
    halved: Callable[[int], None] | None = None,
) -> tuple[Float[np.ndarray, "owners layers heads regions"], Float[np.ndarray, "owners layers heads regions"]]:
    """Shares of attention by region and norms of what is written from each, means over the texts of each owner.

    Each text is read from its last token and counts to the owner with its index in ``owners``.

    Returns:
        Two arrays [n_owners, n_layers, n_heads, n_regions]; NaN for heads that a layer does not have, for owners
        without a text, and of norms where a head's output does not go straight into its projection.
    """
    rows = rows_of(model, [text.ids for text in texts], pack=pack)
    shape = (n_owners, len(model.heads_per_layer), max(model.heads_per_layer), len(REGIONS))
    totals = (np.zeros(shape), np.zeros(shape))
    plan = plan_batches([len(row) for row, _ in rows], batch_tokens, model.row_limits)
    for members in told(plan, "regions", len(plan), progress):
        batch = [rows[index] for index in members]
        n_halved = in_halves(batch, lambda some: _read_batch(model, some, texts, owners, totals))
        if n_halved and halved is not None:
            halved(n_halved)
    count = np.bincount(np.asarray(owners, dtype=np.int64), minlength=n_owners)[:, None, None, None]
    with np.errstate(invalid="ignore"):
        share, written = (np.where(count > 0, total / np.maximum(count, 1), np.nan) for total in totals)
    return share, written


def _read_batch(
    model: HeadModel,
    rows: Sequence[tuple[Row, list[int]]],
    texts: Sequence[Divided],
    owners: Sequence[int],
    totals: tuple[FloatArray, FloatArray],
) -> None:
    n_queries, width = max(len(members) for _, members in rows), max(len(row) for row, _ in rows)
    tokens = torch.zeros((len(rows), n_queries), dtype=torch.long)
    valid = torch.zeros((len(rows), n_queries), dtype=torch.bool)
    keys = torch.zeros((len(rows), n_queries, len(REGIONS), width), dtype=torch.bool)
    places: list[tuple[int, int, int]] = []
    for r, (row, members) in enumerate(rows):
        for q, (path, index) in enumerate(zip(row.paths, members, strict=True)):
            tokens[r, q], valid[r, q] = int(path[-1]), True
            keys[r, q, torch.from_numpy(texts[index].regions).long(), torch.from_numpy(path)] = True
            places.append((r, q, owners[index]))
    batch = batch_of([row for row, _ in rows], model.device)
    reading = read_attention(
        model, batch, RowQueries(tokens.to(model.device), valid.to(model.device), keys.to(model.device))
    )
    in_batch, at, owner = np.array(places, dtype=np.int64).T
    for total, found in zip(totals, (reading.mass, reading.written), strict=True):
        values = found.numpy()[:, in_batch, at].astype(np.float64)  # [L, n, H, R]
        np.add.at(total, owner, values.transpose(1, 0, 2, 3))

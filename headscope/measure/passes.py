"""From rows of tokens to the batches of a forward pass, and how progress is told.

Which rows form a batch follows from the request alone (``tokens.plan_batches``), so the same request gives the same
batches, and with them the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from headscope.models.batches import Batch
from headscope.tokens import Row, padded

Progress = Callable[[str, int, int], None]
"""Called as ``progress(stage, done, total)``."""

Result = dict[str, npt.NDArray[Any]]
"""What a piece of work measured: plain arrays that depend on the piece alone."""

P = TypeVar("P")


class Work(Protocol):
    """Who runs the pieces of a plan, wherever and whenever."""

    def __call__(self, pieces: Sequence[P], run: Callable[[P], Result]) -> Iterable[Result]:
        """Give the pieces' results in their order."""
        ...


def here(pieces: Sequence[P], run: Callable[[P], Result]) -> Iterable[Result]:
    """The ``work`` where none is named: in this process, one piece after the other, nothing kept."""
    return map(run, pieces)


def batch_of(rows: Sequence[Row], device: torch.device) -> Batch:
    """Rows padded on the right into one batch; ``allowed`` is given where any of them is more than a chain."""
    ids = torch.from_numpy(padded([row.ids for row in rows], 0))
    positions = torch.from_numpy(padded([row.positions for row in rows], 0))
    mask = torch.from_numpy(padded([np.ones(len(row), dtype=np.int64) for row in rows], 0))
    allowed = None
    if not all(row.is_chain for row in rows):
        width = ids.shape[1]
        # A padded token sees itself: a softmax over nothing would be NaN.
        allowed = torch.eye(width, dtype=torch.bool).repeat(len(rows), 1, 1)
        for index, row in enumerate(rows):
            allowed[index, : len(row), : len(row)] = torch.from_numpy(row.ancestry())
        allowed = allowed.to(device)
    return Batch(ids.to(device), positions.to(device), mask.to(device), allowed)


def repeated(batch: Batch, times: int) -> Batch:
    """The batch's rows, ``times`` over: rows 0..B-1, then again 0..B-1, and so on."""
    allowed = None if batch.allowed is None else batch.allowed.repeat(times, 1, 1)
    return Batch(
        batch.ids.repeat(times, 1), batch.positions.repeat(times, 1), batch.attention_mask.repeat(times, 1), allowed
    )

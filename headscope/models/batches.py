"""What a forward pass takes: rows of token ids with their positions, and what each token may see.

A row holds one sequence (a chain: padded left or right, causal over ``attention_mask``) or several that share prefixes
(a tree: ``allowed`` says which tokens each token sees, its position is its depth). Everything addresses (row, token
index), so nothing depends on which of the two a row is. Which rows form a batch follows from the request alone
(``tokens.plan_batches``), so the same request gives the same batches, and with them the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from headscope.tokens import Row, padded


@dataclass(frozen=True)
class Batch:
    """Rows for one forward pass, on the model's device.

    Attributes:
        ids: token ids; any valid id where there is padding.
        positions: the depth in a tree; 0 where there is padding.
        attention_mask: 1 for a real token and 0 for padding.
        allowed: True where the query (second axis) may see the key (third axis); None for chains,
            which see every earlier real token.
    """

    ids: Int[Tensor, "B T"]
    positions: Int[Tensor, "B T"]
    attention_mask: Int[Tensor, "B T"]
    allowed: Bool[Tensor, "B T T"] | None = None

    def __len__(self) -> int:
        return self.ids.shape[0]

    @property
    def width(self) -> int:
        """T: tokens of the longest row, padding included."""
        return self.ids.shape[1]

    @classmethod
    def of_chains(
        cls,
        rows: Sequence[Sequence[int]],
        *,
        device: torch.device | str = "cpu",
        padding: Literal["left", "right"] = "right",
        pad_id: int = 0,
        extra: int = 0,
    ) -> Batch:
        """One sequence a row, padded by any valid id to the longest plus ``extra``, which tests padding itself."""
        width = max(map(len, rows)) + extra
        ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
        positions = torch.zeros((len(rows), width), dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for row, sequence in enumerate(rows):
            start = 0 if padding == "right" else width - len(sequence)
            place = slice(start, start + len(sequence))
            ids[row, place] = torch.as_tensor(list(sequence), dtype=torch.long)
            positions[row, place] = torch.arange(len(sequence))
            mask[row, place] = 1
        return cls(ids.to(device), positions.to(device), mask.to(device))

    def ends(self) -> Int[Tensor, " B"]:
        """Index of the last real token of each row."""
        index = torch.arange(self.width, device=self.ids.device)
        return (index * self.attention_mask).argmax(dim=1)


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

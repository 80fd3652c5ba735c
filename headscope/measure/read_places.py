"""Where logits are read in a batch of edited passes, to whom each place belongs, and means over a prompt's places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headscope.measure.layout import PromptLayout
from headscope.tokens import IntArray

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ReadPlaces:
    """Where logits are read in a batch, and to whom each belongs: first the ends of sequences, then damage.

    Attributes:
        rows: [n_ends + n_damage] row of the batch.
        tokens: [n_ends + n_damage] token of the row.
        prompts: [n_ends + n_damage] index of the prompt.
        readouts: [n_ends] the readout that ends there.
        targets: [n_damage] the token that follows, -1 where the prompt ends.
    """

    rows: IntArray
    tokens: IntArray
    prompts: IntArray
    readouts: IntArray
    targets: IntArray

    @classmethod
    def of(
        cls, prompts: Sequence[PromptLayout], rows: Sequence[tuple[int, int]], damage_on: frozenset[str]
    ) -> ReadPlaces:
        """The places of a batch.

        Args:
            prompts: all prompts.
            rows: (prompt, its row) of each row of the batch.
            damage_on: ids of the prompts on whose own tokens logits are read too.
        """
        ends: list[tuple[int, int, int, int]] = []  # (row of the batch, token, prompt, readout)
        damage: list[tuple[int, int, int, int]] = []  # (row of the batch, token, prompt, the token that follows or -1)
        for b, (p, r) in enumerate(rows):
            prompt = prompts[p]
            ends += [(b, token, p, k) for k, (row, token) in enumerate(prompt.ends()) if row == r]
            row, tokens = prompt.prompt_places()
            if prompt.id in damage_on and row == r:
                following = [*prompt.tokens.ids[1:], -1]
                damage += [(b, int(token), p, after) for token, after in zip(tokens, following, strict=True)]
        n_ends = len(ends)
        in_batch, at, owners, last = np.array(ends + damage, dtype=np.int64).reshape(-1, 4).T
        return cls(in_batch, at, owners, last[:n_ends], last[n_ends:])

    @property
    def n_ends(self) -> int:
        """How many sequences end in the batch."""
        return len(self.readouts)

    @property
    def damaged(self) -> IntArray:
        """Prompts whose damage is measured, in order."""
        return np.unique(self.prompts[self.n_ends :])


def mean_nll(log_probabilities: Tensor, places: ReadPlaces) -> FloatArray:
    """[n_damaged] mean negative log-likelihood of each prompt's own tokens; NaN where it has a single one."""
    targets = torch.from_numpy(places.targets).to(log_probabilities.device)
    own = log_probabilities.gather(1, targets.clamp(min=0)[:, None])[:, 0]
    return _by_prompt(-own, places, known=places.targets >= 0)


def mean_kl(baseline: Tensor, edited: Tensor, places: ReadPlaces) -> FloatArray:
    """[n_damaged] mean KL(baseline || edited) over each prompt's tokens, from log-probabilities [n_damage, V]."""
    return _by_prompt((baseline.exp() * (baseline - edited)).sum(-1), places)


def _by_prompt(values: Tensor, places: ReadPlaces, known: npt.NDArray[np.bool_] | None = None) -> FloatArray:
    """[n_damaged] means over each prompt's damage places, or over the ``known`` ones of them."""
    prompts, as_array = places.prompts[places.n_ends :], values.double().cpu().numpy()
    chosen = [(prompts == p) & (True if known is None else known) for p in places.damaged]
    return np.array([as_array[mine].mean() if mine.any() else np.nan for mine in chosen])

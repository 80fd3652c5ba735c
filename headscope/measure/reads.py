"""Where a prompt's answers are read in a batch of rows, and the primary outcome of each row from the logits there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headscope.measure.layout import PromptLayout
from headscope.measure.lexicons import ConceptTokens, log_odds

Lexicons = Sequence[Sequence[ConceptTokens]]
"""For each readout (one entry where there are none) the tokens of each concept."""


@dataclass(frozen=True)
class Group:
    """Places of one readout whose prompts belong to one concept.

    Attributes:
        concept: the tokens of the concept's lexicons there.
        places: [n] index of each place in the batch's list of places.
        rows: [n] the row of each.
        owners: the prompt of each, by index.
    """

    concept: ConceptTokens
    places: Tensor
    rows: Tensor
    owners: tuple[int, ...]


@dataclass(frozen=True)
class AnswerReads:
    """The places of a batch at which the next word is the answer: after each readout.

    Attributes:
        rows: [N] long.
        tokens: [N] long, token index in the row.
        groups: the places by readout and concept; each place is in one.
        n_rows: of the batch.
        n_readouts: over how many places a prompt's outcome is a mean.
    """

    rows: Tensor
    tokens: Tensor
    groups: tuple[Group, ...]
    n_rows: int
    n_readouts: int

    @classmethod
    def of(
        cls,
        prompts: Sequence[PromptLayout],
        where: Sequence[tuple[int, int]],
        lexicons: Lexicons,
        device: torch.device,
    ) -> AnswerReads:
        """The reads of a batch whose row b is row ``where[b][1]`` of prompt ``where[b][0]``, for its own concept."""
        rows: list[int] = []
        tokens: list[int] = []
        found: dict[tuple[int, str], list[int]] = {}
        owners: list[int] = []
        for b, (p, r) in enumerate(where):
            for readout, (row, token) in enumerate(prompts[p].ends()):
                if row == r:
                    found.setdefault((readout, prompts[p].concept), []).append(len(rows))
                    rows.append(b)
                    tokens.append(token)
                    owners.append(p)
        at = torch.tensor(rows, device=device)
        groups = [
            Group(
                next(one for one in lexicons[readout] if one.concept == concept),
                torch.tensor(places, device=device),
                at[torch.tensor(places, device=device)],
                tuple(owners[place] for place in places),
            )
            for (readout, concept), places in found.items()
        ]
        return cls(at, torch.tensor(tokens, device=device), tuple(groups), len(where), len(lexicons))

    def outcomes(self, logits: Tensor) -> Tensor:
        """[B] float64 each row's part of the primary outcome, in nats: the sum over its places / ``n_readouts``."""
        total = torch.zeros(self.n_rows, dtype=torch.float64, device=logits.device)
        for group in self.groups:
            values = log_odds(logits[group.places.to(logits.device)], group.concept)
            total = total.index_add(0, group.rows.to(logits.device), values / self.n_readouts)
        return total

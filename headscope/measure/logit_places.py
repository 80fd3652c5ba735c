"""Where logits are read in a batch: after each readout, where the answer follows, or at a prompt's own tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headscope.measure.layout import PromptLayout
from headscope.tokens import IntArray
from headscope.vocabulary import one_token

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LogitPlaces:
    """N places of a batch, and to whom each belongs.

    Attributes:
        layouts: the prompts of the request.
        tokenizer: the model's.
        rows: [N] row of the batch.
        tokens: [N] token of the row.
        prompts: [N] the prompt, by its index in ``layouts``.
        readouts: [N] the readout that ends there; -1 at a prompt's own tokens.
        targets: [N] at a prompt's own tokens the one that follows; -1 where the prompt ends, and after readouts.
        unedited: [N, V] log-probabilities without edit at a prompt's own tokens; None after readouts and in the pass
            that gives them.
        kept: the tokens whose logits are given, ascending ids; None for all.
    """

    layouts: Sequence[PromptLayout]
    tokenizer: Any
    rows: Int[np.ndarray, " places"]
    tokens: Int[np.ndarray, " places"]
    prompts: Int[np.ndarray, " places"]
    readouts: Int[np.ndarray, " places"]
    targets: Int[np.ndarray, " places"]
    unedited: Float[Tensor, "places vocabulary"] | None = None
    kept: Int[Tensor, " kept"] | None = None

    @classmethod
    def answers(cls, layouts: Sequence[PromptLayout], rows: Sequence[tuple[int, int]], tokenizer: Any) -> LogitPlaces:
        """The last tokens of all sequences of a batch whose rows are each (prompt, its row)."""
        places = [
            (b, token, p, readout, -1)
            for b, (p, r) in enumerate(rows)
            for readout, (own_row, token) in enumerate(layouts[p].ends())
            if own_row == r
        ]
        in_batch, tokens, prompts, readouts, targets = np.array(places, dtype=np.int64).reshape(-1, 5).T
        return cls(layouts, tokenizer, in_batch, tokens, prompts, readouts, targets)

    @classmethod
    def own_tokens(
        cls, layouts: Sequence[PromptLayout], rows: Sequence[tuple[int, int]], tokenizer: Any, only: frozenset[str]
    ) -> LogitPlaces:
        """Every token of the prompts with the ids ``only``, readouts left out."""
        places: list[tuple[int, int, int, int, int]] = []
        for b, (p, r) in enumerate(rows):
            own_row, at = layouts[p].prompt_places()
            if layouts[p].id in only and own_row == r:
                following = [*layouts[p].tokens.ids[1:], -1]
                places += [(b, int(token), p, -1, after) for token, after in zip(at, following, strict=True)]
        in_batch, tokens, prompts, readouts, targets = np.array(places, dtype=np.int64).reshape(-1, 5).T
        return cls(layouts, tokenizer, in_batch, tokens, prompts, readouts, targets)

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, index: IntArray) -> LogitPlaces:
        """Some of the places, without the unedited log-probabilities."""
        names = ("rows", "tokens", "prompts", "readouts", "targets")
        return replace(self, unedited=None, **{name: getattr(self, name)[index] for name in names})

    def by_readout(self) -> list[tuple[int, IntArray]]:
        """Each readout with the indices of its places."""
        return [(int(readout), np.flatnonzero(self.readouts == readout)) for readout in np.unique(self.readouts)]

    def token_id(self, text: str) -> int:
        """The token whose text is ``text``, a leading space included; RequestError where it is not one token."""
        return one_token(self.tokenizer, text)

    def columns(self, ids: Sequence[int], like: Tensor) -> Tensor:
        """Where the logits of these tokens stand, on the device of ``like``."""
        at = torch.tensor(ids, device=like.device)
        return at if self.kept is None else torch.searchsorted(self.kept.to(like.device), at)

    @property
    def owners(self) -> IntArray:
        """The prompts that have places here, in order."""
        return np.unique(self.prompts)

    def by_sequence(self, values: Float[Tensor, "places slots"]) -> Float[Tensor, "sequences prompts slots"]:
        """What was read after each sequence of each of ``owners``; NaN where a prompt has no such sequence here."""
        owners, prompt = np.unique(self.prompts, return_inverse=True)
        n_sequences = 1 + int(self.readouts.max(initial=-1))
        shape = (n_sequences, len(owners), values.shape[-1])
        empty = torch.full(shape, torch.nan, dtype=values.dtype, device=values.device)
        at = (torch.from_numpy(one).to(values.device) for one in (self.readouts, prompt))
        return empty.index_put(tuple(at), values)

    def means(self, values: FloatArray) -> FloatArray:
        """[n_owners] mean over each prompt's places; one that ends its prompt may have no value (NaN)."""
        known = ~(np.isnan(values) & (self.targets < 0))
        chosen = [(self.prompts == p) & known for p in self.owners]
        return np.array([values[mine].mean() if mine.any() else np.nan for mine in chosen])

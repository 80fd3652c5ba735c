"""What the model would say: teacher-forced passes, with and without edits, one number a prompt.

1. Every prompt is laid out with its readouts (``asked``); rows of like length form a batch.
2. The batch runs once unedited: log-odds of each concept's lexicon after each readout, averaged over readouts; on
   control prompts also log P of each next token of the prompt, for damage.
3. The same rows run under every arm, many arms beside each other in one batch, a row each.
4. Damage of an arm on a control prompt: KL(baseline || edited) averaged over the prompt's tokens, and the mean negative
   log-likelihood of the prompt's own tokens, both in nats per token.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headscope.errors import RequestError
from headscope.measure.asked import AskedPrompt
from headscope.measure.edits import Arm, ControlStates, Places, layer_edits, places_of
from headscope.measure.lexicons import ConceptTokens, log_odds
from headscope.measure.passes import Progress, batch_of, repeated
from headscope.models.batches import Batch
from headscope.models.editing import editing
from headscope.models.head_model import HeadModel
from headscope.models.running import logits_at
from headscope.tokens import plan_batches

FloatArray = npt.NDArray[np.float64]

LOGIT_BYTES = 2**28
"""Most bytes of float32 logits one pass may give."""


@dataclass(frozen=True)
class ForcedOutcomes:
    """What was measured; every array in nats, NaN where it was not asked.

    Attributes:
        baseline: [n_prompts, n_lexicons] log-odds of each lexicon, no edit.
        edited: [n_arms, n_prompts, n_lexicons] the same under each arm.
        kl_nats_per_token: [n_arms, n_prompts], on prompts that ``damage_on`` names.
        baseline_nll_nats_per_token: [n_prompts], likewise.
        edited_nll_nats_per_token: [n_arms, n_prompts], likewise.
        n_forward_tokens: tokens that went through the model, padding included.
    """

    baseline: FloatArray
    edited: FloatArray
    kl_nats_per_token: FloatArray
    baseline_nll_nats_per_token: FloatArray
    edited_nll_nats_per_token: FloatArray
    n_forward_tokens: int


@dataclass(frozen=True)
class _Reads:
    """Where logits are read in a batch, and to whom each belongs."""

    rows: Tensor
    tokens: Tensor
    owners: npt.NDArray[np.int64]
    n_ends: int
    readouts: npt.NDArray[np.int64]
    targets: Tensor


class ForcedPasses:
    """Teacher-forced passes over fixed prompts; ``measure`` runs them for any arms."""

    def __init__(
        self,
        model: HeadModel,
        prompts: Sequence[AskedPrompt],
        lexicons: Sequence[Sequence[ConceptTokens]],
        *,
        damage_on: frozenset[str],
        states: ControlStates | None,
        batch_tokens: int,
    ) -> None:
        """Fix what is asked.

        Args:
            model: the model.
            prompts: what is asked.
            lexicons: for each readout the tokens of each concept; one entry where there are no readouts.
            damage_on: ids of the prompts on which damage is measured.
            states: needed by arms that take values from control prompts.
            batch_tokens: most tokens of a batch, padding included.
        """
        self._model, self._prompts, self._lexicons = model, list(prompts), lexicons
        self._damage_on, self._states, self._batch_tokens = damage_on, states, batch_tokens
        self._places = [(p, r) for p, prompt in enumerate(self._prompts) for r in range(len(prompt.rows))]

    def measure(self, arms: Sequence[Arm], progress: Progress | None = None) -> ForcedOutcomes:
        """Run every prompt unedited and under every arm."""
        n_arms, n_prompts, n_lexicons = len(arms), len(self._prompts), len(self._lexicons[0])
        n_readouts = len(self._lexicons)
        scores = np.full((n_arms + 1, n_prompts, n_readouts, n_lexicons), np.nan)
        nll = np.full((n_arms + 1, n_prompts), np.nan)
        kl = np.full((n_arms, n_prompts), np.nan)
        lengths = [len(self._prompts[p].rows[r]) for p, r in self._places]
        share = max(max(lengths), self._batch_tokens // max(1, min(n_arms, 8)))
        plan = plan_batches(lengths, share)
        n_tokens, done, total = 0, 0, len(plan) * (n_arms + 1)
        for members in plan:
            where = [self._places[index] for index in members]
            batch = batch_of([self._prompts[p].rows[r] for p, r in where], self._model.device)
            reads = self._reads(where)
            baseline = self._score(batch, reads, [None], where, scores[:1], nll[:1], None, None)
            n_tokens += batch.ids.numel()
            done += 1
            for start, stop in self._blocks(n_arms, batch, reads):
                chosen = slice(start + 1, stop + 1)
                self._score(
                    batch, reads, arms[start:stop], where, scores[chosen], nll[chosen], kl[start:stop], baseline
                )
                n_tokens += batch.ids.numel() * (stop - start)
                done += stop - start
                if progress is not None:
                    progress("edited passes", done, total)
        means = scores.mean(axis=2)
        return ForcedOutcomes(means[0], means[1:], kl, nll[0], nll[1:], n_tokens)

    def _blocks(self, n_arms: int, batch: Batch, reads: _Reads) -> list[tuple[int, int]]:
        vocabulary = self._model.hf.config.get_text_config().vocab_size
        by_tokens = self._batch_tokens // batch.ids.numel()
        by_logits = LOGIT_BYTES // (4 * vocabulary * len(reads.rows))
        size = max(1, min(by_tokens, by_logits))
        return [(start, min(start + size, n_arms)) for start in range(0, n_arms, size)]

    def _reads(self, where: Sequence[tuple[int, int]]) -> _Reads:
        ends: list[tuple[int, int, int, int]] = []  # (row of the batch, token, owner, readout)
        damage: list[tuple[int, int, int, int]] = []  # (row of the batch, token, owner, the token that follows or -1)
        for b, (p, r) in enumerate(where):
            prompt = self._prompts[p]
            ends += [(b, token, p, k) for k, (row, token) in enumerate(prompt.ends()) if row == r]
            row, tokens = prompt.prompt_places()
            if prompt.id in self._damage_on and row == r:
                following = [*prompt.tokens.ids[1:], -1]
                damage += [(b, int(token), p, after) for token, after in zip(tokens, following, strict=True)]
        places = np.array(ends + damage, dtype=np.int64).reshape(-1, 4)
        as_tensor = torch.from_numpy(places).to(self._model.device)
        n_ends = len(ends)
        return _Reads(as_tensor[:, 0], as_tensor[:, 1], places[:, 2], n_ends, places[:n_ends, 3], as_tensor[n_ends:, 3])

    def _score(
        self,
        batch: Batch,
        reads: _Reads,
        arms: Sequence[Arm | None],
        where: Sequence[tuple[int, int]],
        scores: FloatArray,
        nll: FloatArray,
        kl: FloatArray | None,
        baseline: Tensor | None,
    ) -> Tensor:
        """Run ``batch`` once for each arm and fill in what was measured; returns log P at the damage places."""
        width, n = batch.width, len(reads.rows)
        rows: list[tuple[Arm | None, AskedPrompt, Places]] = [
            (arm, self._prompts[p], places_of(self._prompts[p], r, width)) for arm in arms for p, r in where
        ]
        times = len(arms)
        edits = layer_edits(self._model, self._states, rows)
        shift = torch.arange(times, device=reads.rows.device).repeat_interleave(n) * len(batch)
        with editing(self._model, edits) if edits else nullcontext():
            logits = logits_at(
                self._model, repeated(batch, times), reads.rows.repeat(times) + shift, reads.tokens.repeat(times)
            ).unflatten(0, (times, n))
        log_probabilities = logits[:, reads.n_ends :].log_softmax(-1)
        for arm in range(times):
            for readout in np.unique(reads.readouts):
                chosen = np.flatnonzero(reads.readouts == readout)
                for c, concept in enumerate(self._lexicons[readout]):
                    values = log_odds(logits[arm, torch.from_numpy(chosen).to(logits.device)], concept)
                    scores[arm, reads.owners[chosen], readout, c] = values.cpu().numpy()
            self._damage(reads, log_probabilities[arm], nll[arm], None if kl is None else kl[arm], baseline)
        return log_probabilities[0]

    def _damage(
        self, reads: _Reads, edited: Tensor, nll: FloatArray, kl: FloatArray | None, baseline: Tensor | None
    ) -> None:
        owners = reads.owners[reads.n_ends :]
        if len(owners) == 0:
            return
        has_next = reads.targets >= 0
        own = edited.gather(1, reads.targets.clamp(min=0)[:, None])[:, 0]
        surprise = torch.where(has_next, -own, torch.nan).double().cpu().numpy()
        divergence = None
        if kl is not None and baseline is not None:
            divergence = (baseline.exp() * (baseline - edited)).sum(-1).double().cpu().numpy()
        for p in np.unique(owners):
            mine = owners == p
            known = surprise[mine][~np.isnan(surprise[mine])]
            nll[p] = known.mean() if len(known) else np.nan
            if kl is not None and divergence is not None:
                kl[p] = divergence[mine].mean()


def check_distinct(arms: Sequence[Arm]) -> None:
    """Raise RequestError where an arm stands twice."""
    seen: set[str] = set()
    for arm in arms:
        if str(arm) in seen:
            raise RequestError(f"the edit {arm} is asked for twice", expected="each edit once")
        seen.add(str(arm))

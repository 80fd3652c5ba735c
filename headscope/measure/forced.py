"""What the model would say: teacher-forced passes, with and without edits, one number a prompt.

1. Every prompt is laid out with its readouts (``asked``); rows of like length form a batch.
2. The plan cuts rows x arms into pieces (``Piece``), each run by itself, in any order and on any machine. Arms that
   begin at the same layer lie in one piece, because the layers below need no second pass.
3. A batch runs once unedited: log-odds of each concept's lexicon after each readout, averaged over readouts; on
   control prompts also log P of each next token of the prompt, for damage.
4. The same rows run under every arm, many arms beside each other in one batch, a row each.
5. Damage of an arm on a control prompt: KL(baseline || edited) averaged over the prompt's tokens, and the mean negative
   log-likelihood of the prompt's own tokens, both in nats per token.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headscope.errors import RequestError
from headscope.measure.edits import Arm, ControlStates, Places, layer_edits, places_of
from headscope.measure.layout import PromptLayout
from headscope.measure.lexicons import ConceptTokens, log_odds
from headscope.measure.memory import fits, halves
from headscope.measure.patching import PatchStates
from headscope.measure.protocols import Progress, Result, Work, here
from headscope.measure.read_places import FloatArray, ReadPlaces, mean_kl, mean_nll
from headscope.models.anatomy import vocabulary_size
from headscope.models.batches import Batch, batch_of, repeated
from headscope.models.blocks import keeping_inputs, repeated_rows, starting_at
from headscope.models.editing import editing
from headscope.models.head_model import HeadModel
from headscope.models.memory_budget import LOGIT_BYTES
from headscope.models.running import logits_at
from headscope.tokens import Row, plan_batches

_ARMS_BESIDE = 16  # arms that are given room beside each other: most often the heads of a layer
_DAMAGE = ("nll", "kl", "unedited_nll")


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
        n_layer_tokens: the same, each counted once for every layer that ran on it.
        n_halved: batches that did not fit into memory and ran in halves.
    """

    baseline: FloatArray
    edited: FloatArray
    kl_nats_per_token: FloatArray
    baseline_nll_nats_per_token: FloatArray
    edited_nll_nats_per_token: FloatArray
    n_forward_tokens: int
    n_layer_tokens: int
    n_halved: int


@dataclass(frozen=True)
class Piece:
    """A unit of work: some rows, unedited and under a block of arms. Its result depends on nothing else.

    Attributes:
        rows: indices of the rows that run as one batch.
        arms: indices of the arms that run beside each other; may be empty.
        first_layer: the lowest layer that runs under the arms; below it they change nothing, so what the unedited
            pass gave there is used.
    """

    rows: tuple[int, ...]
    arms: tuple[int, ...]
    first_layer: int


@dataclass(frozen=True)
class _Unedited:
    """A batch and what the model says on it with every head on."""

    rows: tuple[int, ...]
    batch: Batch
    places: ReadPlaces
    log_probabilities: Tensor  # [n_damage, V]
    entering: dict[int, Any]  # what enters the layers that arms begin at
    result: Result


class ForcedPasses:
    """Teacher-forced passes over fixed prompts, under any arms: planned, run piece by piece, and put together."""

    def __init__(
        self,
        model: HeadModel,
        prompts: Sequence[PromptLayout],
        lexicons: Sequence[Sequence[ConceptTokens]],
        *,
        damage_on: frozenset[str],
        states: ControlStates | PatchStates | None,
        batch_tokens: int,
    ) -> None:
        """Fix what is asked.

        Args:
            model: the model.
            prompts: what is asked.
            lexicons: for each readout the tokens of each concept; one entry where there are no readouts.
            damage_on: ids of the prompts on which damage is measured.
            states: needed by arms that take values from other prompts.
            batch_tokens: most tokens of a batch, padding included.
        """
        self._model, self._prompts, self._lexicons = model, list(prompts), lexicons
        self._damage_on, self._states, self._batch_tokens = damage_on, states, batch_tokens
        self._rows = [(p, r) for p, prompt in enumerate(self._prompts) for r in range(len(prompt.rows))]
        self._latest: _Unedited | None = None

    def measure(self, arms: Sequence[Arm], progress: Progress | None = None, work: Work = here) -> ForcedOutcomes:
        """Run every prompt unedited and under every arm.

        Args:
            arms: the edits.
            progress: told after each piece.
            work: who runs the pieces; this process by default, one after the other.
        """
        pieces = self.plan(arms)
        total, done = sum(len(piece.arms) for piece in pieces), 0
        run = partial(self.run, arms=arms)
        results: list[Result] = []
        for piece, result in zip(pieces, work(pieces, run), strict=True):
            results.append(result)
            done += len(piece.arms)
            if progress is not None:
                progress("edited passes", done, total)
        return self.assemble(pieces, results)

    def plan(self, arms: Sequence[Arm]) -> list[Piece]:
        """Which rows and arms run together; follows from the request alone."""
        lengths = [len(self._prompts[p].rows[r]) for p, r in self._rows]
        by_layer: dict[int, list[int]] = {}
        for index, arm in enumerate(arms):
            by_layer.setdefault(self._first_layer(arm), []).append(index)
        beside = max(1, min(_ARMS_BESIDE, max(self._model.heads_per_layer), len(arms)))
        share = max(max(lengths), self._batch_tokens // beside)
        return [
            Piece(tuple(rows), block, layer)
            for rows in plan_batches(lengths, share, self._model.row_limits)
            for layer, members in sorted(by_layer.items() or [(0, [])])
            for block in _blocks(members, self._arms_at_once(rows, max(lengths[row] for row in rows)))
        ]

    def _first_layer(self, arm: Arm) -> int:
        return min(head.layer for head in arm.heads) if self._model.skips_lower_blocks else 0

    def _arms_at_once(self, rows: Sequence[int], width: int) -> int:
        vocabulary = vocabulary_size(self._model.hf)
        by_tokens = self._batch_tokens // (len(rows) * width)
        by_logits = LOGIT_BYTES // (4 * vocabulary * len(self._places(rows).rows))
        return max(1, min(by_tokens, by_logits))

    def run(self, piece: Piece, arms: Sequence[Arm]) -> Result:
        """Run one piece. Pieces of the same rows are best run after each other: their unedited pass is kept.

        Returns:
            ``scores`` [n_arms, n_ends, n_lexicons], ``nll`` [n_arms, n_damaged] and ``kl`` [n_arms, n_damaged] of the
            piece's arms; ``unedited_scores`` [n_ends, n_lexicons] and ``unedited_nll`` [n_damaged], equal in all
            pieces of the same rows; ``n_halved``, how many batches of it had to be halved to fit into memory.
        """
        found: list[Result] = []
        if fits(lambda: found.append(self._run_whole(piece, arms))):
            return found[0]
        if self._latest is not None and len(piece.arms) > 1:  # the unedited pass did fit
            parts = [replace(piece, arms=tuple(half)) for half in halves(piece.arms)]
            return self._joined_arms([self.run(part, arms) for part in parts])
        self._latest = None
        parts = [replace(piece, rows=tuple(half)) for half in halves(piece.rows)]
        return self._joined_rows(parts, [self.run(part, arms) for part in parts])

    def _joined_arms(self, results: Sequence[Result]) -> Result:
        edited = {name: np.concatenate([one[name] for one in results]) for name in ("scores", "nll", "kl")}
        return results[0] | edited | {"n_halved": np.asarray(1 + sum(int(one["n_halved"]) for one in results))}

    def _joined_rows(self, parts: Sequence[Piece], results: Sequence[Result]) -> Result:
        damaged = np.concatenate([self._places(part.rows).damaged for part in parts])
        order = np.argsort(damaged, kind="stable")
        joined = {name: np.concatenate([one[name] for one in results], axis=-1)[..., order] for name in _DAMAGE}
        for name in ("scores", "unedited_scores"):
            joined[name] = np.concatenate([one[name] for one in results], axis=-2)
        return joined | {"n_halved": np.asarray(1 + sum(int(one["n_halved"]) for one in results))}

    def _run_whole(self, piece: Piece, arms: Sequence[Arm]) -> Result:
        layers = frozenset(self._first_layer(arm) for arm in arms) - {0}
        unedited = self._unedited(piece.rows, layers)
        places = unedited.places
        result = dict(unedited.result)
        shape = len(piece.arms), len(places.damaged)
        scores = np.empty((len(piece.arms), places.n_ends, len(self._lexicons[0])))
        nll, kl = np.empty(shape), np.empty(shape)
        if piece.arms:
            chosen = [arms[index] for index in piece.arms]
            logits = self._logits(piece.rows, unedited.batch, places, chosen, self._started(unedited, piece))
            log_probabilities = logits[:, places.n_ends :].log_softmax(-1)
            for index, edited in enumerate(log_probabilities):
                scores[index] = self._scores(logits[index], places)
                nll[index] = mean_nll(edited, places)
                kl[index] = mean_kl(unedited.log_probabilities, edited, places)
        return result | {"scores": scores, "nll": nll, "kl": kl, "n_halved": np.zeros((), dtype=np.int64)}

    def assemble(self, pieces: Sequence[Piece], results: Iterable[Result]) -> ForcedOutcomes:
        """Put the results of all pieces of a plan, in its order, together."""
        n_arms = 1 + max((arm for piece in pieces for arm in piece.arms), default=-1)
        n_prompts, n_readouts, n_lexicons = len(self._prompts), len(self._lexicons), len(self._lexicons[0])
        scores = np.full((n_arms + 1, n_prompts, n_readouts, n_lexicons), np.nan)
        nll = np.full((n_arms + 1, n_prompts), np.nan)
        kl = np.full((n_arms, n_prompts), np.nan)
        n_halved = 0
        for piece, result in zip(pieces, results, strict=True):
            places, edited = self._places(piece.rows), [1 + arm for arm in piece.arms]
            prompts = places.prompts[: places.n_ends]
            scores[0, prompts, places.readouts] = result["unedited_scores"]
            nll[0, places.damaged] = result["unedited_nll"]
            for index, arm in enumerate(piece.arms):
                scores[edited[index], prompts, places.readouts] = result["scores"][index]
                nll[edited[index], places.damaged] = result["nll"][index]
                kl[arm, places.damaged] = result["kl"][index]
            n_halved += int(result["n_halved"])
        _, n_tokens, n_layer_tokens = self.work_of(pieces)
        means = scores.mean(axis=2)
        return ForcedOutcomes(means[0], means[1:], kl, nll[0], nll[1:], n_tokens, n_layer_tokens, n_halved)

    def work_of(self, pieces: Sequence[Piece]) -> tuple[int, int, int]:
        """Forward passes, tokens (padding included), and tokens times layers of a plan; unedited passes run once."""
        n_layers = len(self._model.heads_per_layer)
        n_passes, n_tokens, n_layer_tokens, seen = 0, 0, 0, set[tuple[int, ...]]()
        for piece in pieces:
            in_batch = len(piece.rows) * max(len(self._row(row)) for row in piece.rows)
            unedited = piece.rows not in seen
            n_passes += bool(piece.arms) + unedited
            n_tokens += in_batch * (len(piece.arms) + unedited)
            n_layer_tokens += in_batch * (len(piece.arms) * (n_layers - piece.first_layer) + unedited * n_layers)
            seen.add(piece.rows)
        return n_passes, n_tokens, n_layer_tokens

    def forget(self) -> None:
        """Let go of the unedited pass that is kept for the next piece."""
        self._latest = None

    def _row(self, row: int) -> Row:
        p, r = self._rows[row]
        return self._prompts[p].rows[r]

    def _places(self, rows: Sequence[int]) -> ReadPlaces:
        return ReadPlaces.of(self._prompts, [self._rows[row] for row in rows], self._damage_on)

    def _unedited(self, rows: tuple[int, ...], layers: frozenset[int]) -> _Unedited:
        """The unedited pass; always a batch of its own, so it does not matter whether it was kept or is run again."""
        if self._latest is None or self._latest.rows != rows or not layers <= self._latest.entering.keys():
            self._latest = None  # the old one need not be held while the new one runs
            batch, places = batch_of([self._row(row) for row in rows], self._model.device), self._places(rows)
            with keeping_inputs(self._model, layers) as entering:
                logits = self._logits(rows, batch, places, [None])[0]
            log_probabilities = logits[places.n_ends :].log_softmax(-1)
            result = {
                "unedited_scores": self._scores(logits, places),
                "unedited_nll": mean_nll(log_probabilities, places),
            }
            self._latest = _Unedited(rows, batch, places, log_probabilities, entering, result)
        return self._latest

    def _started(self, unedited: _Unedited, piece: Piece) -> AbstractContextManager[None] | None:
        if piece.first_layer == 0:
            return None
        entering = repeated_rows(unedited.entering[piece.first_layer], len(piece.arms))
        return starting_at(self._model, piece.first_layer, entering)

    def _logits(
        self,
        rows: Sequence[int],
        batch: Batch,
        places: ReadPlaces,
        arms: Sequence[Arm | None],
        started: AbstractContextManager[None] | None = None,
    ) -> Tensor:
        """[n_arms, n_places, V]; ``started`` is entered for the pass itself, not while the edits are made."""
        where = [self._rows[row] for row in rows]
        asked: list[tuple[Arm | None, PromptLayout, Places]] = [
            (arm, self._prompts[p], places_of(self._prompts[p], r, batch.width)) for arm in arms for p, r in where
        ]
        shift = np.arange(len(arms)).repeat(len(places.rows)) * len(batch)
        at = [np.tile(places.rows, len(arms)) + shift, np.tile(places.tokens, len(arms))]
        on_device = [torch.from_numpy(index).to(self._model.device) for index in at]
        with self._edited(asked), nullcontext() if started is None else started:
            return logits_at(self._model, repeated(batch, len(arms)), *on_device).unflatten(0, (len(arms), -1))

    def _edited(self, rows: Sequence[tuple[Arm | None, PromptLayout, Places]]) -> AbstractContextManager[object]:
        if all(arm is None for arm, _, _ in rows):
            return nullcontext()
        if isinstance(self._states, PatchStates):
            return self._states.edited(rows)
        return editing(self._model, layer_edits(self._model, self._states, rows))

    def _scores(self, logits: Tensor, places: ReadPlaces) -> FloatArray:
        """[n_ends, n_lexicons] log-odds of each lexicon."""
        scores = np.empty((places.n_ends, len(self._lexicons[0])))
        for readout in np.unique(places.readouts):
            chosen = np.flatnonzero(places.readouts == readout)
            for c, concept in enumerate(self._lexicons[readout]):
                values = log_odds(logits[torch.from_numpy(chosen).to(logits.device)], concept)
                scores[chosen, c] = values.cpu().numpy()
        return scores


def _blocks(members: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """Members in blocks of at most ``size``, as equal as can be."""
    n_blocks = max(1, math.ceil(len(members) / size))
    return [tuple(block.tolist()) for block in np.array_split(np.asarray(members, dtype=np.int64), n_blocks)]


def check_distinct(arms: Sequence[Arm]) -> None:
    """Raise RequestError where an arm stands twice."""
    seen: set[str] = set()
    for arm in arms:
        if str(arm) in seen:
            raise RequestError(f"the edit {arm} is asked for twice", expected="each edit once")
        seen.add(str(arm))

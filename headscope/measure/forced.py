"""What the model would say: teacher-forced passes, with and without edits, one number for each prompt and outcome.

1. Every prompt is laid out with its readouts (``layout``); rows of like length form a batch.
2. The plan cuts rows x arms into pieces (``Piece``), each run by itself, in any order and on any machine. Arms that
   begin at the same layer lie in one piece, because the layers below need no second pass.
3. A batch runs once unedited, and logits are read after each readout and, for damage, at the prompt's own tokens.
4. The same rows run under every arm, many arms beside each other in one batch, a row each.
5. Where every outcome that is asked names the tokens it reads, the language-model head runs for those alone.
6. Each outcome (``outcomes``) turns the logits of its places into numbers; their mean over a prompt's places is what it
   says of the prompt.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headscope.errors import RequestError
from headscope.measure.edits import Arm, ArmValues, EditRow, places_of
from headscope.measure.layout import PromptLayout
from headscope.measure.logit_places import FloatArray, LogitPlaces
from headscope.measure.memory import fits, halves
from headscope.measure.outcomes import Outcome
from headscope.measure.protocols import Progress, Result, Work, here, told
from headscope.models.anatomy import vocabulary_size
from headscope.models.batches import Batch, batch_of, repeated
from headscope.models.blocks import keeping_inputs, repeated_rows, starting_at
from headscope.models.head_model import HeadModel
from headscope.models.memory_budget import LOGIT_BYTES
from headscope.models.running import logits_at, of_tokens
from headscope.tokens import IntArray, Row, plan_batches

_ARMS_BESIDE = 16  # arms that are given room beside each other: most often the heads of a layer
_EDITED, _UNEDITED = "edited ", "unedited "  # before the names of outcomes in a piece's result


@dataclass(frozen=True)
class ForcedOutcomes:
    """What was measured, by the name of the outcome; NaN where it was not asked.

    Attributes:
        baseline: [n_prompts] without edit.
        edited: [n_arms, n_prompts] under each arm.
        n_forward_tokens: tokens that went through the model, padding included.
        n_layer_tokens: the same, each counted once for every layer that ran on it.
        n_halved: batches that did not fit into memory and ran in halves.
    """

    baseline: Mapping[str, FloatArray]
    edited: Mapping[str, FloatArray]
    n_forward_tokens: int
    n_layer_tokens: int
    n_halved: int

    def change(self, name: str) -> FloatArray:
        """[n_arms, n_prompts] edited - baseline."""
        return self.edited[name] - self.baseline[name]


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
class _BatchPlaces:
    """Where logits are read in a batch: first the answers, then prompts' own tokens."""

    answers: LogitPlaces
    own: LogitPlaces

    @property
    def rows(self) -> IntArray:
        return np.concatenate([self.answers.rows, self.own.rows])

    @property
    def tokens(self) -> IntArray:
        return np.concatenate([self.answers.tokens, self.own.tokens])


@dataclass(frozen=True)
class _Unedited:
    """A batch and what the model says on it with every head on."""

    rows: tuple[int, ...]
    batch: Batch
    places: _BatchPlaces
    log_probabilities: Tensor  # [n_own, V]
    entering: dict[int, Any]  # what enters the layers that arms begin at
    values: Result


class ForcedPasses:
    """Teacher-forced passes over fixed prompts, under any arms: planned, run piece by piece, and put together."""

    def __init__(
        self,
        model: HeadModel,
        layouts: Sequence[PromptLayout],
        outcomes: Sequence[Outcome],
        *,
        damage_on: frozenset[str],
        states: ArmValues | None,
        batch_tokens: int,
    ) -> None:
        """Fix what is asked.

        ``damage_on``: ids of the prompts on whose own tokens outcomes are read that are read there; ``states`` is
        needed by arms that take values from other prompts. Outcomes read in written text are left out.
        """
        self._model, self._layouts = model, list(layouts)
        self._outcomes = [one for one in outcomes if one.read_at != "text"]
        reads_own = any(one.read_at == "prompt" for one in self._outcomes)
        self._damage_on = damage_on if reads_own else frozenset[str]()
        self._states, self._batch_tokens = states or ArmValues(model), batch_tokens
        reads = [one.reads for one in self._outcomes if one.read_at == "answers"]
        known = [tokens for tokens in reads if tokens is not None]
        self._reads = sorted(frozenset[int]().union(*known)) if len(known) == len(reads) else []
        self._rows = [(p, r) for p, prompt in enumerate(self._layouts) for r in range(len(prompt.rows))]
        self._latest: _Unedited | None = None

    def measure(self, arms: Sequence[Arm], progress: Progress | None = None, work: Work = here) -> ForcedOutcomes:
        """Run every prompt unedited and under every arm."""
        pieces = self.plan(arms)
        results = work(pieces, partial(self.run, arms=arms))
        both = told(zip(pieces, results, strict=True), "edited passes", len(pieces), progress)
        return self.assemble(pieces, [result for _, result in both])

    def plan(self, arms: Sequence[Arm]) -> list[Piece]:
        """Which rows and arms run together; follows from the request alone."""
        lengths = [len(self._layouts[p].rows[r]) for p, r in self._rows]
        by_layer: dict[int, list[int]] = {}
        for index, arm in enumerate(arms):
            by_layer.setdefault(self._first_layer(arm), []).append(index)
        most = max(map(len, by_layer.values()), default=1)
        beside = min(_ARMS_BESIDE, max(self._model.heads_per_layer), most)
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
            By outcome ``edited <name>`` [n_arms, n_answers or n_prompts] of the piece's arms and ``unedited <name>``
            [n_answers or n_prompts], equal in all pieces of the same rows, with a further axis where an outcome reads
            several numbers; ``n_halved``, how many batches of it, and of sources that ran for it, had to be halved to
            fit into memory.
        """
        self._states.n_loads_halved = 0
        result = self._run(piece, arms)
        return result | {"n_halved": np.asarray(int(result["n_halved"]) + self._states.n_loads_halved)}

    def _run(self, piece: Piece, arms: Sequence[Arm]) -> Result:
        found: list[Result] = []
        if fits(lambda: found.append(self._run_whole(piece, arms))):
            return found[0]
        if self._latest is not None and len(piece.arms) > 1:  # the unedited pass did fit
            parts = [replace(piece, arms=tuple(half)) for half in halves(piece.arms)]
            return self._joined(parts, [self._run(part, arms) for part in parts], by_arms=True)
        self._latest = None
        parts = [replace(piece, rows=tuple(half)) for half in halves(piece.rows)]
        return self._joined(parts, [self._run(part, arms) for part in parts], by_arms=False)

    def _joined(self, parts: Sequence[Piece], results: Sequence[Result], *, by_arms: bool) -> Result:
        """The result of a piece whose arms, or rows, were halved."""
        order = np.concatenate([self._places(part.rows).own.owners for part in parts]).argsort(kind="stable")
        joined = dict(results[0])
        for one in self._outcomes:
            if by_arms:
                joined[_EDITED + one.name] = np.concatenate([result[_EDITED + one.name] for result in results])
                continue
            for name in (_EDITED + one.name, _UNEDITED + one.name):
                values = np.concatenate([result[name] for result in results], axis=int(name.startswith(_EDITED)))
                joined[name] = values[..., order] if one.read_at == "prompt" else values
        return joined | {"n_halved": np.asarray(1 + sum(int(one["n_halved"]) for one in results))}

    def _run_whole(self, piece: Piece, arms: Sequence[Arm]) -> Result:
        layers = frozenset(self._first_layer(arm) for arm in arms) - {0}
        unedited = self._unedited(piece.rows, layers)
        places = unedited.places
        edited: list[Result] = []
        if piece.arms:
            chosen = [arms[index] for index in piece.arms]
            logits = self._logits(piece.rows, unedited.batch, places, chosen, self._started(unedited, piece))
            log_probabilities = logits[:, len(places.answers) :].log_softmax(-1)
            with_unedited = replace(places, own=replace(places.own, unedited=unedited.log_probabilities))
            edited = [self._values(*one, with_unedited) for one in zip(logits, log_probabilities, strict=True)]
        result = {_UNEDITED + name: values for name, values in unedited.values.items()}
        for name, values in unedited.values.items():
            result[_EDITED + name] = np.array([one[name] for one in edited]).reshape(len(edited), *values.shape)
        return result | {"n_halved": np.zeros((), dtype=np.int64)}

    def _values(self, logits: Tensor, log_probabilities: Tensor, places: _BatchPlaces) -> Result:
        """Each outcome at its places: of every answer, or the mean over each prompt's own tokens."""
        answers = logits[: len(places.answers)]
        return {
            one.name: one.at(answers, places.answers)
            if one.read_at == "answers"
            else places.own.means(one.at(log_probabilities, places.own))
            for one in self._outcomes
        }

    def assemble(self, pieces: Sequence[Piece], results: Iterable[Result]) -> ForcedOutcomes:
        """Put the results of all pieces of a plan, in its order, together."""
        n_arms = 1 + max((arm for piece in pieces for arm in piece.arms), default=-1)
        shape = n_arms + 1, len(self._layouts)
        n_sequences = max(len(one.sequences) for one in self._layouts)
        values: dict[str, FloatArray] = {}
        n_halved = 0
        for piece, result in zip(pieces, results, strict=True):
            places, arms = self._places(piece.rows), [0, *(1 + arm for arm in piece.arms)]
            for one in self._outcomes:
                both = np.concatenate([result[_UNEDITED + one.name][None], result[_EDITED + one.name]])
                if one.name not in values:
                    several = (n_sequences, *shape, *both.shape[2:]) if one.read_at == "answers" else shape
                    values[one.name] = np.full(several, np.nan)
                if one.read_at == "answers":
                    where = places.answers.readouts, places.answers.prompts
                    values[one.name][where[0][None], np.array(arms)[:, None], where[1][None]] = both
                else:
                    values[one.name][np.array(arms)[:, None], places.own.owners[None]] = both
            n_halved += int(result["n_halved"])
        _, n_tokens, n_layer_tokens = self.work_of(pieces)
        means = {
            one.name: one.of_prompts(values[one.name], self._layouts) if one.read_at == "answers" else values[one.name]
            for one in self._outcomes
        }
        return ForcedOutcomes(
            {name: one[0] for name, one in means.items()}, {name: one[1:] for name, one in means.items()},
            n_tokens, n_layer_tokens, n_halved,
        )  # fmt: skip

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
        return self._layouts[p].rows[r]

    def _places(self, rows: Sequence[int]) -> _BatchPlaces:
        asked = self._layouts, [self._rows[row] for row in rows], self._model.tokenizer
        answers, own = LogitPlaces.answers(*asked), LogitPlaces.own_tokens(*asked, self._damage_on)
        if self._reads and not len(own) and self._model.gives_some_tokens:
            answers = replace(answers, kept=torch.tensor(self._reads))
        return _BatchPlaces(answers, own)

    def _unedited(self, rows: tuple[int, ...], layers: frozenset[int]) -> _Unedited:
        """The unedited pass; always a batch of its own, so it does not matter whether it was kept or is run again."""
        if self._latest is None or self._latest.rows != rows or not layers <= self._latest.entering.keys():
            self._latest = None  # the old one need not be held while the new one runs
            batch, places = batch_of([self._row(row) for row in rows], self._model.device), self._places(rows)
            with keeping_inputs(self._model, layers) as entering:
                logits = self._logits(rows, batch, places, [None])[0]
            log_probabilities = logits[len(places.answers) :].log_softmax(-1)
            values = self._values(logits, log_probabilities, places)
            self._latest = _Unedited(rows, batch, places, log_probabilities, entering, values)
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
        places: _BatchPlaces,
        arms: Sequence[Arm | None],
        started: AbstractContextManager[None] | None = None,
    ) -> Tensor:
        """[n_arms, n_places, V]; ``started`` is entered for the pass itself, not while the edits are made."""
        where = [self._rows[row] for row in rows]
        edit_rows: list[EditRow] = [
            (arm, self._layouts[p], places_of(self._layouts[p], r, batch.width)) for arm in arms for p, r in where
        ]
        shift = np.arange(len(arms)).repeat(len(places.rows)) * len(batch)
        at = [np.tile(places.rows, len(arms)) + shift, np.tile(places.tokens, len(arms))]
        on_device = [torch.from_numpy(index).to(self._model.device) for index in at]
        kept = places.answers.kept
        with (
            self._states.edited(edit_rows),
            nullcontext() if started is None else started,
            nullcontext() if kept is None else of_tokens(self._model, kept),
        ):
            return logits_at(self._model, repeated(batch, len(arms)), *on_device).unflatten(0, (len(arms), -1))


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

"""How long a model takes for its work on this machine: measured on a few pieces of a plan, told for any other work.

A pass costs seconds for each token and layer, for each place at which logits are read (the language-model head, and
what outcomes make of its logits: with a large vocabulary as much as several layers), and some for being a pass at all.
1. Of a plan three batches are taken: of middle size by their places with logits, with most, and with fewest. Each runs
   unedited, then under the arms that begin deepest, then under those that begin in the middle, so that the three costs
   stand in different proportions. Arms only take heads away.
2. Each is timed once, until ``MOST_SECONDS`` are spent. One piece runs, however long it takes.
3. The three costs are the non-negative ones whose largest relative errors are smallest in squares.
4. Of one batch of texts as many as fit into that time are written for a token, and for a few: what a text costs to
   begin, and each token after that. Fewer rows go slower each, so this is rather too long than too short.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from scipy.optimize import nnls

from headscope.measure.edits import Arm, ArmValues
from headscope.measure.forced import ForcedPasses, Piece
from headscope.measure.generation import TextPasses, TextPiece
from headscope.measure.sampling import Sampling
from headscope.settings import Writing
from headscope.stages import Counted, Stage, logit_rows
from headscope.verbs.effect_rows import LOWEST_SET

MOST_SECONDS = 5.0
"""Time after which no further piece is measured."""

Clock = Callable[[], float]

_WRITTEN = 4  # tokens of each text
_WORK = ("layer_tokens", "logit_rows", "forward_passes")


@dataclass(frozen=True)
class Rates:
    """What work costs.

    Attributes:
        layer_token_seconds: of a token on a layer.
        logit_row_seconds: of a place at which logits are read.
        pass_seconds: of a pass, whatever is in it.
        text_seconds_each: of a text, beyond its tokens: its prompt.
        written_token_seconds: of a token of a text, in a batch of texts.
        n_timed: how many passes were timed.
        measured_seconds: how long that took.
    """

    layer_token_seconds: float
    logit_row_seconds: float
    pass_seconds: float
    text_seconds_each: float
    written_token_seconds: float
    n_timed: int
    measured_seconds: float

    def seconds(self, counted: Counted) -> float:
        """Of a stage."""
        costs = self.layer_token_seconds, self.logit_row_seconds, self.pass_seconds
        return sum(cost * getattr(counted, name) for cost, name in zip(costs, _WORK, strict=True))

    def text_seconds(self, n_tokens: int, tokens_a_text: int = Writing.max_tokens) -> float:
        """Of so many written tokens, in texts of ``tokens_a_text``."""
        return n_tokens * (self.written_token_seconds + self.text_seconds_each / tokens_a_text)


def calibrate(stage: Stage, *, texts: bool = True, clock: Clock = time.perf_counter) -> Rates:
    """Measure on pieces of a stage's plan; ``texts``: writing too, on prompts of its study's first concept.

    Raises:
        ProfileError: a prompt leaves no room for a few new tokens, with ``texts``.
    """
    start = clock()
    timed = list(_timed(stage, clock))
    costs = fitted(timed)
    of_texts = _text_costs(stage, clock) if texts else (0.0, 0.0)
    return Rates(*costs, *of_texts, n_timed=len(timed), measured_seconds=clock() - start)


def fitted(timed: Sequence[tuple[Counted, float]]) -> tuple[float, float, float]:
    """Seconds for each token and layer, for each place with logits, and for each pass, from work and what it took.

    Where less different work than costs was timed, the last costs are 0.
    """
    work = np.array([[getattr(counted, name) for name in _WORK] for counted, _ in timed], dtype=np.float64)
    seconds = np.array([each for _, each in timed])
    n_known = min(len(_WORK), len({tuple(row) for row in work.tolist()}))
    scale = np.maximum(1.0, work.max(axis=0))  # so that the solver's tolerance fits every column
    costs = np.zeros(len(_WORK))
    costs[:n_known], _ = nnls((work / scale / seconds[:, None])[:, :n_known], np.ones(len(timed)))
    layer_token, logit_row, a_pass = (costs / scale).tolist()
    return layer_token, logit_row, a_pass


def _timed(stage: Stage, clock: Clock) -> Iterator[tuple[Counted, float]]:
    """Work and seconds of passes of the plan, one after the other."""
    arms = [replace(arm, kind="zero") for arm in stage.arms]
    passes, start, n_timed = stage.passes(), clock(), 0
    batches = _chosen(stage, passes, arms)
    for piece in batches[0][:2]:
        passes.run(piece, arms)  # the first pass of a process is slow
    for batch in batches:
        passes.forget()
        unedited = stage.counted_of(passes, batch[:1])
        for piece in batch:
            if n_timed > 1 and clock() - start > MOST_SECONDS:
                return
            seconds = _seconds(stage, clock, lambda piece=piece: passes.run(piece, arms))
            yield _difference(stage.counted_of(passes, [piece]), unedited) if piece.arms else unedited, seconds
            n_timed += 1


def _chosen(stage: Stage, passes: ForcedPasses, arms: Sequence[Arm]) -> list[list[Piece]]:
    """Batches, each as what is timed of it: unedited first, then under arms."""
    by_rows: dict[tuple[int, ...], list[Piece]] = {}
    for piece in passes.plan(arms):
        by_rows.setdefault(piece.rows, []).append(piece)
    batches = sorted(by_rows.values(), key=lambda pieces: logit_rows(stage.layouts, pieces[:1], stage.damaged))
    chosen: list[list[Piece]] = []
    for index in dict.fromkeys((len(batches) // 2, len(batches) - 1, 0)):
        pieces = sorted(batches[index], key=lambda piece: piece.first_layer)
        by_layer = {piece.first_layer: piece for piece in (pieces[-1], pieces[len(pieces) // 2]) if piece.arms}
        chosen.append([replace(pieces[0], arms=()), *by_layer.values()])
    return chosen


def _difference(whole: Counted, part: Counted) -> Counted:
    """Work of a stage without that of a part of it."""
    numbers = [field.name for field in fields(Counted) if field.name not in ("stage", "is_bound", "is_assumed")]
    return replace(whole, **{name: getattr(whole, name) - getattr(part, name) for name in numbers})


def _text_costs(stage: Stage, clock: Clock) -> tuple[float, float]:
    """Seconds of a text beyond its tokens, and of each of its tokens, unedited and under an edit."""
    study = stage.study
    prompts = [layout for layout in stage.layouts if layout.concept in study.names[:1]] or stage.layouts
    heads = stage.arms[0].heads if stage.arms else LOWEST_SET
    arms = [None, Arm(heads, "zero")]

    def took(n_tokens: int, n_units: int) -> tuple[float, int]:
        sampling = Sampling(n_tokens, seed=study.seed, stop_ids=())
        passes = TextPasses(
            study.model, prompts, arms, sampling, ArmValues(study.model), study.batch_tokens, study.pack
        )  # fmt: skip
        fullest = max((piece.units for piece in passes.plan()), key=len)[:n_units]
        return _seconds(stage, clock, lambda: passes.run(TextPiece(fullest))), len(fullest) * len(arms)

    first, _ = took(_WRITTEN, 1)
    n_units = max(1, int(MOST_SECONDS / first))  # both together take about this: rows of a larger batch go faster
    (begun, n_texts), (written, _) = took(1, n_units), took(_WRITTEN, n_units)
    token = max(0.0, written - begun) / ((_WRITTEN - 1) * n_texts)
    return max(0.0, begun / n_texts - token), token


def _seconds(stage: Stage, clock: Clock, run: Callable[[], object]) -> float:
    start, device = clock(), stage.study.model.device
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - start

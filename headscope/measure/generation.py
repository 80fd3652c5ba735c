"""What the model says: text written by all arms side by side in one batch, from the same random numbers.

1. Every (prompt, sample) has a row for each arm, the unedited one among them; the rows have one key/value cache, padded
   on the left. What they begin with in common runs once, where the model's load check allows it: the samples of a
   prompt, prompts with a common prefix, and arms whose edit holds on new tokens only (``models.shared_prefill``).
2. The random numbers of a token (``sampling.choose``) come from a stream named by (seed, prompt, sample) and are the
   same in every arm, so arms that agree on the probabilities agree on the token, and an edit that changes nothing
   changes no token.
3. A row that has said a token that ends a text (``sampling.stop_ids``) is dropped from the batch.
4. A row that is patched from another prompt has that prompt beside it, unedited, followed by the patched row's own new
   tokens: what the heads do there is what the patch puts in (``patching_text``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headscope.errors import ProfileError, RequestError
from headscope.measure.attention import ROW_TOKENS
from headscope.measure.edit_kinds import Places
from headscope.measure.edits import Arm, ArmValues
from headscope.measure.layout import PromptLayout
from headscope.measure.memory import in_halves
from headscope.measure.protocols import Progress, Result, Work, here, told
from headscope.measure.sampling import Sampling, choose, stop_ids
from headscope.models.batches import Batch, batch_of
from headscope.models.head_model import HeadModel
from headscope.models.memory_budget import held_tokens, most_written_at_once
from headscope.models.running import keep_rows, prefill, step
from headscope.models.shared_prefill import PathOf, SharedPrefill
from headscope.random_streams import generator
from headscope.tokens import Row, RowLimits, pack_rows, padded, plan_batches

_HELD_PER_RUN = 2


@dataclass(frozen=True)
class TextPiece:
    """A unit of work: texts that are written as one batch.

    Attributes:
        units: (prompt, sample) of each; every arm writes each of them.
    """

    units: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Job:
    """One text to write; or, ``is_source``, the row from which that text is patched."""

    arm: int
    prompt: int
    sample: int
    is_source: bool = False


@dataclass
class _Live:
    """The rows still being written, in step with the cache."""

    jobs: list[_Job]
    mask: Tensor
    positions: Tensor
    cache: Any


def check_room(model: HeadModel, lengths: Mapping[str, int], max_tokens: int) -> None:
    """Raise ProfileError where a prompt (id -> its tokens) and ``max_tokens`` new ones do not fit the model.

    They must fit its context, and not cross the length beyond which its positions change: what the cache holds of the
    prompt would have to be computed anew there.
    """
    limit = model.mixed_row_limit
    for name, length in lengths.items():
        if limit is not None and length <= limit < length + max_tokens - 1:  # the last token is not run
            raise ProfileError(
                f"prompt {name} and its continuation cross the length beyond which the model's positions change",
                expected=f"at most {limit} tokens together, or a prompt of more",
                got=f"{length} + {max_tokens}",
                fix="ask for fewer tokens (--max-tokens), or shorten the prompt",
            )
        if model.context_length is not None and length + max_tokens > model.context_length:
            raise ProfileError(
                f"prompt {name} and its continuation are longer than the model's context",
                expected=f"at most {model.context_length} tokens",
                got=f"{length} + {max_tokens}",
                fix="ask for fewer tokens (--max-tokens)",
            )


def _check_together(model: HeadModel, running: Sequence[Sequence[PromptLayout]]) -> None:
    """Raise RequestError where a text and the source that is patched into it cannot run side by side."""
    limits = RowLimits(mixed=model.mixed_row_limit)
    for unit in running:
        lengths = sorted({one.n_prompt for one in unit})
        if len({limits.side(length) for length in lengths}) > 1:
            raise RequestError(
                f"prompt {unit[0].id} and the source that is patched into it cannot run side by side on this model",
                expected=f"at most {model.mixed_row_limit} tokens in each, or as many in both",
                got=" and ".join(map(str, lengths)),
                fix="leave such pairs out",
            )


@dataclass(frozen=True)
class TextPasses:
    """New text of prompts under arms, None among them for the unedited model: planned, written piece by piece.

    Attributes:
        states: what arms put in place of z.
        batch_tokens: most tokens that run at once. What a batch *holds* follows from the model's memory budget where
            prompts begin in batches of their own, else it is ``_HELD_PER_RUN`` times as many: after the prompt each
            row runs one token at a time. All arms of a prompt share a batch.
        pack: let what rows begin with in common run once.
    """

    model: HeadModel
    prompts: Sequence[PromptLayout]
    arms: Sequence[Arm | None]
    sampling: Sampling
    states: ArmValues
    batch_tokens: int
    pack: bool = True

    def write(
        self, progress: Progress | None = None, halved: Callable[[int], None] | None = None, work: Work = here
    ) -> list[list[list[tuple[int, ...]]]]:
        """``texts[arm][prompt][sample]``: token ids, without the token that ended them.

        ``halved`` is told after each piece how often it had to be halved, because it did not fit into memory.

        Raises:
            ProfileError: a prompt, or the source of a patch, and its new tokens do not fit the model's context.
            RequestError: patterns or values are to be patched.
        """
        pieces = self.plan()
        texts: list[list[list[tuple[int, ...]]]] = [
            [[() for _ in range(self.sampling.samples)] for _ in self.prompts] for _ in self.arms
        ]
        for piece, result in told(zip(pieces, work(pieces, self.run), strict=True), "texts", len(pieces), progress):
            ends = result["lengths"].cumsum()
            jobs = [job for unit in piece.units for job in self.jobs(*unit) if not job.is_source]
            for job, end, length in zip(jobs, ends, result["lengths"], strict=True):
                texts[job.arm][job.prompt][job.sample] = tuple(result["ids"][end - length : end].tolist())
            if halved is not None:
                halved(int(result["n_halved"]))
        return texts

    def plan(self) -> list[TextPiece]:
        """Which texts are written together.

        Raises:
            ProfileError, RequestError: as ``write``.
        """
        self.states.check_writing()
        running = [[self.layout_of(job) for job in self.jobs(p, 0)] for p in range(len(self.prompts))]
        check_room(self.model, {one.id: one.n_prompt for unit in running for one in unit}, self.sampling.max_tokens)
        _check_together(self.model, running)
        units = [(p, s) for p in range(len(self.prompts)) for s in range(self.sampling.samples)]
        # A unit's arms stand together, so that a difference between arms is never one between batches.
        in_a_row = [max(one.n_prompt for one in running[p]) for p, _ in units]
        new = self.sampling.max_tokens
        widths = [(longest + new) * len(running[p]) for longest, (p, _) in zip(in_a_row, units, strict=True)]
        n_rows = min(self.batch_tokens, most_written_at_once(self.model)) // max(map(len, running), default=1)
        held = held_tokens(self.model) if self.shares(max(in_a_row, default=0)) else _HELD_PER_RUN * self.batch_tokens
        limits = RowLimits(mixed=self.model.mixed_row_limit)  # no row of these is a tree
        plan = plan_batches(widths, held, limits, most_rows=max(1, n_rows), in_a_row=in_a_row)
        return [TextPiece(tuple(units[index] for index in members)) for members in plan]

    def jobs(self, prompt: int, sample: int) -> list[_Job]:
        """The rows of one prompt and sample: its arms, then the sources of those that are patched."""
        arms = [_Job(arm, prompt, sample) for arm in range(len(self.arms))]
        return [*arms, *(replace(job, is_source=True) for job in arms if self._source(job) is not None)]

    def _source(self, job: _Job) -> PromptLayout | None:
        return self.states.source_of(self.arms[job.arm], self.prompts[job.prompt])

    def layout_of(self, job: _Job) -> PromptLayout:
        """The prompt that stands in the job's row."""
        source = self._source(job) if job.is_source else None
        return self.prompts[job.prompt] if source is None else source

    def _next_token(self, job: _Job, chosen: Mapping[_Job, int]) -> int | None:
        """What the job's row goes on with, a source with what its target wrote; None where it is not run any more."""
        if job.is_source and not self.states.follows_text:
            return None
        return chosen.get(replace(job, is_source=False))

    def _editing(self, jobs: Sequence[_Job], places: Sequence[Places]) -> AbstractContextManager[object]:
        """The edits of one pass over the rows ``jobs``, whose tokens stand at ``places``."""
        rows = [
            (None if job.is_source else self.arms[job.arm], self.prompts[job.prompt], where)
            for job, where in zip(jobs, places, strict=True)
        ]
        row_of = {job: row for row, job in enumerate(jobs)}
        sources = [None if job.is_source else row_of.get(replace(job, is_source=True)) for job in jobs]
        return self.states.edited_beside(rows, sources)

    def run(self, piece: TextPiece) -> Result:
        """``ids``: the new tokens of all texts, one after the other; ``lengths``: how many each text has.

        Where the texts do not fit into memory together, they are written in halves, ``n_halved`` times.
        """
        texts: list[list[int]] = []
        n_halved = in_halves(
            piece.units, lambda some: texts.extend(self._write([job for unit in some for job in self.jobs(*unit)]))
        )
        ids = np.array([token for text in texts for token in text], dtype=np.int64)
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        return {"ids": ids, "lengths": lengths, "n_halved": np.asarray(n_halved)}

    def _write(self, jobs: list[_Job]) -> list[list[int]]:
        """New tokens of each text of ``jobs``."""
        model, sampling = self.model, self.sampling
        batch = Batch.of_chains([self.layout_of(job).tokens.ids for job in jobs], device=model.device, padding="left")
        noise = {
            (job.prompt, job.sample): generator(sampling.seed, "generation", self.prompts[job.prompt].id, job.sample)
            for job in jobs
        }
        named = sampling.stop_ids
        stops = frozenset(stop_ids(model, at_eos=sampling.stop_at_eos) if named is None else named)
        written: dict[_Job, list[int]] = {job: [] for job in jobs if not job.is_source}
        logits, cache = self._started_together(jobs, batch) if self.shares(batch.width) else self._started(jobs, batch)
        live = _Live(list(jobs), batch.attention_mask, batch.attention_mask.sum(dim=1), cache)
        for count in range(sampling.max_tokens):
            writers = [row for row, job in enumerate(live.jobs) if not job.is_source]
            texts_of = [(live.jobs[row].prompt, live.jobs[row].sample) for row in writers]
            tokens = choose(logits[writers], texts_of, noise, sampling)
            chosen = {live.jobs[row]: token for row, token in zip(writers, tokens, strict=True) if token not in stops}
            for job, token in chosen.items():
                written[job].append(token)
            if count + 1 == sampling.max_tokens or not chosen:
                break
            follows = [self._next_token(job, chosen) for job in live.jobs]
            _drop(live, [row for row, token in enumerate(follows) if token is not None])
            ids = torch.tensor([[token] for token in follows if token is not None], device=model.device)
            live.mask = torch.cat([live.mask, live.mask.new_ones(len(live.jobs), 1)], dim=1)
            at = [Places(np.array([int(p)]), np.array([-1])) for p in live.positions]
            with self._editing(live.jobs, at):
                logits, live.cache = step(model, live.cache, ids, live.positions[:, None], live.mask)
            live.positions = live.positions + 1
        return list(written.values())

    def shares(self, width: int) -> bool:
        """Whether prompts of so many tokens may share what they begin with.

        Not patched rows, whose sources run beside them, nor prompts as long as a window.
        """
        limit = self.model.tree_row_limit
        fits = self.model.prefills_trees and limit is not None and width < limit
        return self.pack and fits and self.states.shares_prompts

    def _started(self, jobs: Sequence[_Job], batch: Batch) -> tuple[Tensor, Any]:
        """Logits and cache after the prompts, each in a row of its own."""
        places = [_prompt_places(self.layout_of(job).n_prompt, batch.width) for job in jobs]
        with self._editing_prompts(jobs, places):
            return prefill(self.model, batch)

    def _started_together(self, jobs: Sequence[_Job], batch: Batch) -> tuple[Tensor, Any]:
        """The same, with what rows under one edit begin with in common run once."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for index, job in enumerate(jobs):
            arm = None if self.sampling.scope == "generated" else self.arms[job.arm]
            groups.setdefault(self.states.depends_on(arm, self.prompts[job.prompt]), []).append(index)
        limit = min(ROW_TOKENS, (self.model.tree_row_limit or ROW_TOKENS) - 1)
        rows: list[tuple[Row, list[int]]] = [
            (row, [group[i] for i in members])
            for group in groups.values()
            for row, members in pack_rows([self.layout_of(jobs[i]).tokens.ids for i in group], limit)
        ]
        start = SharedPrefill(self.model, len(jobs), batch.width, room=self.sampling.max_tokens - 1)
        for chosen in plan_batches([len(row) for row, _ in rows], self.batch_tokens, self.model.row_limits):
            trees, members = [rows[i][0] for i in chosen], [rows[i][1] for i in chosen]
            places = [Places(p, np.full(len(p), -1)) for p in padded([tree.positions for tree in trees], -1)]
            paths = [
                PathOf(sequence, r, tokens)
                for r, (tree, sequences) in enumerate(zip(trees, members, strict=True))
                for sequence, tokens in zip(sequences, tree.paths, strict=True)
            ]
            with self._editing_prompts([jobs[of_tree[0]] for of_tree in members], places):
                start.run(batch_of(trees, self.model.device), paths)
        return start.finish()

    def _editing_prompts(self, jobs: Sequence[_Job], places: Sequence[Places]) -> AbstractContextManager[object]:
        return nullcontext() if self.sampling.scope == "generated" else self._editing(jobs, places)


def _prompt_places(n_prompt: int, width: int) -> Places:
    """The places of a prompt's tokens in a row padded on the left."""
    position = np.full(width, -1, dtype=np.int64)
    position[width - n_prompt :] = np.arange(n_prompt)
    return Places(position, np.full(width, -1, dtype=np.int64))


def _drop(live: _Live, going: list[int]) -> None:
    """Keep only the rows ``going``."""
    if len(going) == len(live.jobs):
        return
    index = torch.tensor(going, device=live.mask.device)
    live.jobs = [live.jobs[i] for i in going]
    live.mask, live.positions = live.mask[index], live.positions[index]
    keep_rows(live.cache, index)

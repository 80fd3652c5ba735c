"""What the model says: text written by all arms side by side in one batch, from the same random numbers.

1. Every (prompt, sample) has a row for each arm, the unedited one among them; prompts are padded on the left and share
   a key/value cache.
2. A token is drawn by the Gumbel-max trick: the largest of log-probability + noise over the tokens that temperature
   and top-p leave. The noise comes from a stream named by (seed, prompt, sample) and is the same in every arm, so arms
   that agree on the probabilities agree on the token, and an edit that changes nothing changes no token.
3. A row that has said EOS is dropped from the batch, unless EOS is not to stop it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headscope.errors import ProfileError, RequestError
from headscope.measure.asked import AskedPrompt
from headscope.measure.edits import Arm, ControlStates, Places, layer_edits
from headscope.measure.passes import Progress, Result, Work, here
from headscope.models.batches import Batch
from headscope.models.editing import editing
from headscope.models.head_model import HeadModel
from headscope.models.running import prefill, step
from headscope.random_streams import generator
from headscope.tokens import plan_batches

SCOPES = ("all", "generated")


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen.

    Attributes:
        max_tokens: most new tokens a text.
        temperature: logits are divided by it; ignored when greedy.
        top_p: only the smallest set of tokens whose probabilities sum to at least this; 1 keeps all.
        samples: texts for each prompt and arm.
        greedy: always the most probable token; then one sample.
        stop_at_eos: whether EOS ends a text.
        scope: ``all``: an edit holds from the prompt on; ``generated``: on new tokens only.
        seed: the request's seed.
    """

    max_tokens: int = 30
    temperature: float = 1.0
    top_p: float = 0.9
    samples: int = 1
    greedy: bool = False
    stop_at_eos: bool = True
    scope: str = "all"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, fits, expected in (
            ("max_tokens", self.max_tokens, self.max_tokens >= 1, "1 or more"),
            ("samples", self.samples, self.samples >= 1, "1 or more"),
            ("temperature", self.temperature, 0 < self.temperature < float("inf"), "above 0 (or use greedy)"),
            ("top_p", self.top_p, 0 < self.top_p <= 1, "above 0, at most 1"),
            ("scope", self.scope, self.scope in SCOPES, " or ".join(SCOPES)),
        ):
            if not fits:
                raise RequestError(f"{name} cannot be {value}", expected=expected, got=str(value))
        if self.greedy and self.samples > 1:
            raise RequestError(
                "greedy text is the same in every sample", expected="samples 1 with greedy", got=str(self.samples)
            )


@dataclass(frozen=True)
class TextPiece:
    """A unit of work: texts that are written as one batch.

    Attributes:
        units: (prompt, sample) of each; every arm writes each of them.
    """

    units: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Job:
    """One text to write."""

    arm: int
    prompt: int
    sample: int


@dataclass
class _Live:
    """The rows still being written, in step with the cache."""

    jobs: list[_Job]
    mask: Tensor
    positions: Tensor
    cache: Any


def generate(
    model: HeadModel,
    prompts: Sequence[AskedPrompt],
    arms: Sequence[Arm | None],
    sampling: Sampling,
    *,
    states: ControlStates | None,
    batch_tokens: int,
    progress: Progress | None = None,
    work: Work = here,
) -> list[list[list[tuple[int, ...]]]]:
    """New token ids of every text.

    Args:
        model: the model.
        prompts: what is continued.
        arms: None is the unedited model.
        sampling: how tokens are chosen.
        states: needed by arms that take values from control prompts.
        batch_tokens: most tokens of a batch, new ones included. All arms of a prompt share a batch.
        progress: told after each piece.
        work: who runs the pieces; this process by default, one after the other.

    Returns:
        ``texts[arm][prompt][sample]``: token ids, without the EOS that ended them.

    Raises:
        ProfileError: a prompt and its new tokens do not fit the model's context.
    """
    check_room(model, {prompt.id: prompt.n_prompt for prompt in prompts}, sampling.max_tokens)
    texts: list[list[list[tuple[int, ...]]]] = [[[() for _ in range(sampling.samples)] for _ in prompts] for _ in arms]
    units = [(p, s) for p in range(len(prompts)) for s in range(sampling.samples)]
    # A unit's arms stand together, so that a difference between arms is never one between batches.
    widths = [(prompts[p].n_prompt + sampling.max_tokens) * len(arms) for p, _ in units]
    plan = plan_batches(widths, batch_tokens)
    pieces = [TextPiece(tuple(units[index] for index in members)) for members in plan]
    writer = partial(_run, model=model, prompts=prompts, arms=arms, sampling=sampling, states=states)
    for done, (piece, result) in enumerate(zip(pieces, work(pieces, writer), strict=True)):
        ends = result["lengths"].cumsum()
        for job, end, length in zip(_jobs(piece, len(arms)), ends, result["lengths"], strict=True):
            texts[job.arm][job.prompt][job.sample] = tuple(result["ids"][end - length : end].tolist())
        if progress is not None:
            progress("generation", done + 1, len(plan))
    return texts


def _jobs(piece: TextPiece, n_arms: int) -> list[_Job]:
    return [_Job(arm, prompt, sample) for prompt, sample in piece.units for arm in range(n_arms)]


def _run(
    piece: TextPiece,
    *,
    model: HeadModel,
    prompts: Sequence[AskedPrompt],
    arms: Sequence[Arm | None],
    sampling: Sampling,
    states: ControlStates | None,
) -> Result:
    """``ids``: the new tokens of all texts, one after the other; ``lengths``: how many each text has."""
    written = _write(model, prompts, arms, _jobs(piece, len(arms)), sampling, states)
    ids = np.array([token for text in written for token in text], dtype=np.int64)
    return {"ids": ids, "lengths": np.array([len(text) for text in written], dtype=np.int64)}


def check_room(model: HeadModel, lengths: Mapping[str, int], max_tokens: int) -> None:
    """Raise ProfileError where a prompt (id -> its tokens) and ``max_tokens`` new ones do not fit the context."""
    for name, length in lengths.items():
        if model.context_length is not None and length + max_tokens > model.context_length:
            raise ProfileError(
                f"prompt {name} and its continuation are longer than the model's context",
                expected=f"at most {model.context_length} tokens",
                got=f"{length} + {max_tokens}",
                fix="ask for fewer tokens (--max-tokens)",
            )


def _write(
    model: HeadModel,
    prompts: Sequence[AskedPrompt],
    arms: Sequence[Arm | None],
    jobs: list[_Job],
    sampling: Sampling,
    states: ControlStates | None,
) -> list[tuple[int, ...]]:
    rows = [prompts[job.prompt].tokens.ids for job in jobs]
    batch = Batch.of_chains(rows, device=model.device, padding="left")
    noise = {
        (job.prompt, job.sample): generator(sampling.seed, "generation", prompts[job.prompt].id, job.sample)
        for job in jobs
    }
    eos = _eos_ids(model) if sampling.stop_at_eos else frozenset[int]()
    written: list[list[int]] = [[] for _ in jobs]
    place = {job: index for index, job in enumerate(jobs)}
    edits = (
        {} if sampling.scope == "generated" else layer_edits(model, states, _prompt_rows(jobs, prompts, arms, batch))
    )
    with editing(model, edits) if edits else nullcontext():
        logits, cache = prefill(model, batch)
    live = _Live(list(jobs), batch.attention_mask, batch.attention_mask.sum(dim=1), cache)
    for count in range(sampling.max_tokens):
        chosen = _choose(logits, live.jobs, noise, sampling)
        going = [index for index, token in enumerate(chosen) if token not in eos]
        for index in going:
            written[place[live.jobs[index]]].append(chosen[index])
        if count + 1 == sampling.max_tokens or not going:
            break
        ids = torch.tensor([[chosen[index]] for index in going], device=model.device)
        _drop(live, going)
        live.mask = torch.cat([live.mask, live.mask.new_ones(len(going), 1)], dim=1)
        at = [Places(np.array([int(p)]), np.array([-1])) for p in live.positions]
        edits = layer_edits(
            model,
            states,
            [(arms[job.arm], prompts[job.prompt], where) for job, where in zip(live.jobs, at, strict=True)],
        )
        with editing(model, edits) if edits else nullcontext():
            logits, live.cache = step(model, live.cache, ids, live.positions[:, None], live.mask)
        live.positions = live.positions + 1
    return [tuple(ids) for ids in written]


def _prompt_rows(
    jobs: Sequence[_Job], prompts: Sequence[AskedPrompt], arms: Sequence[Arm | None], batch: Batch
) -> list[tuple[Arm | None, AskedPrompt, Places]]:
    rows: list[tuple[Arm | None, AskedPrompt, Places]] = []
    for job in jobs:
        prompt = prompts[job.prompt]
        position = np.full(batch.width, -1, dtype=np.int64)
        position[batch.width - prompt.n_prompt :] = np.arange(prompt.n_prompt)
        rows.append((arms[job.arm], prompt, Places(position, np.full(batch.width, -1, dtype=np.int64))))
    return rows


def _choose(
    logits: Tensor, jobs: Sequence[_Job], noise: dict[tuple[int, int], np.random.Generator], sampling: Sampling
) -> list[int]:
    if sampling.greedy:
        return logits.argmax(dim=-1).tolist()
    scores = _kept(logits / sampling.temperature, sampling.top_p)
    # Every (prompt, sample) draws at every step at which any of its arms is still writing, whichever those are.
    drawn: dict[tuple[int, int], Tensor] = {}
    for job in jobs:
        key = job.prompt, job.sample
        if key not in drawn:
            exponential = noise[key].standard_exponential(logits.shape[-1], dtype=np.float32)
            drawn[key] = -torch.from_numpy(exponential).log()
    gumbel = torch.stack([drawn[job.prompt, job.sample] for job in jobs]).to(logits.device)
    return (scores + gumbel).argmax(dim=-1).tolist()


def _kept(logits: Tensor, top_p: float) -> Tensor:
    """Log-probabilities, -inf outside the smallest set of most probable tokens that holds ``top_p`` of the mass."""
    scores = logits.log_softmax(dim=-1)
    if top_p >= 1:
        return scores
    ordered, order = scores.sort(dim=-1, descending=True, stable=True)
    before = ordered.exp().cumsum(dim=-1) - ordered.exp()
    return torch.full_like(scores, -torch.inf).scatter(-1, order, ordered.masked_fill(before >= top_p, -torch.inf))


def _drop(live: _Live, going: list[int]) -> None:
    """Keep only the rows ``going``."""
    if len(going) == len(live.jobs):
        return
    index = torch.tensor(going, device=live.mask.device)
    live.jobs = [live.jobs[i] for i in going]
    live.mask, live.positions = live.mask[index], live.positions[index]
    live.cache.batch_select_indices(index)


def _eos_ids(model: HeadModel) -> frozenset[int]:
    eos = getattr(model.hf.generation_config, "eos_token_id", None)
    eos = model.tokenizer.eos_token_id if eos is None else eos
    if eos is None:
        return frozenset()
    return frozenset(eos if isinstance(eos, list) else [eos])

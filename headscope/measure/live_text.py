"""A text as it is written, token by token: unedited and under edits side by side, from the same random numbers.

The rows are those that ``generation.TextPasses`` gives a prompt, its first sample and one arm: one cache, the noise of
the stream named by (seed, prompt, sample), a row dropped where it has said a token that ends a text. So the text is the
same. Nothing of the model is held between two tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headscope.measure.generation import check_room
from headscope.measure.layout import PromptLayout
from headscope.measure.live import Wanted, stopping
from headscope.measure.sampling import Sampling, choose, stop_ids
from headscope.models.batches import Batch
from headscope.models.editing import LayerEdit, editing
from headscope.models.head_model import HeadModel
from headscope.models.running import keep_rows, prefill, step
from headscope.random_streams import generator

_TEXT: tuple[int, int] = (0, 0)  # prompt and sample: all rows are of one text, so they draw the same numbers


@dataclass(frozen=True)
class Chosen:
    """A token of one arm, 0 for the unedited model and 1 for the edited; ``ends``: it is not part of the text."""

    arm: int
    token: int
    ends: bool


def write_tokens(
    model: HeadModel, prompt: PromptLayout, edits: Mapping[int, LayerEdit], sampling: Sampling,
    cancelled: Wanted | None = None,
) -> Iterator[Chosen]:  # fmt: skip
    """The tokens of both arms as they are chosen; of the unedited one alone where there are no edits.

    Raises:
        ProfileError: prompt and text do not fit the model's context.
        Cancelled: it is not wanted any more.
    """
    check_room(model, {prompt.id: prompt.n_prompt}, sampling.max_tokens)
    named = sampling.stop_ids
    stops = frozenset(stop_ids(model, at_eos=sampling.stop_at_eos) if named is None else named)
    noise: dict[tuple[int, int], np.random.Generator] = {_TEXT: generator(sampling.seed, "generation", prompt.id, 0)}
    arms = [0, 1] if edits else [0]
    batch = Batch.of_chains([prompt.tokens.ids] * len(arms), device=model.device, padding="left")
    with stopping(model, cancelled), editing(model, _by_row(edits, arms)):
        logits, cache = prefill(model, batch)
    mask, positions = batch.attention_mask, batch.attention_mask.sum(dim=1)
    for count in range(1, sampling.max_tokens + 1):
        tokens = choose(logits, [_TEXT] * len(arms), noise, sampling)
        yield from (Chosen(arm, token, token in stops) for arm, token in zip(arms, tokens, strict=True))
        going = [row for row, token in enumerate(tokens) if token not in stops]
        if count == sampling.max_tokens or not going:
            return
        if len(going) < len(arms):
            index = torch.tensor(going, device=model.device)
            mask, positions = mask[index], positions[index]
            keep_rows(cache, index)
            arms = [arms[row] for row in going]
        ids = torch.tensor([[tokens[row]] for row in going], device=model.device)
        mask = torch.cat([mask, mask.new_ones(len(arms), 1)], dim=1)
        with stopping(model, cancelled), editing(model, _by_row(edits, arms)):
            logits, cache = step(model, cache, ids, positions[:, None], mask)
        positions = positions + 1


def _by_row(edits: Mapping[int, LayerEdit], arms: Sequence[int]) -> dict[int, LayerEdit]:
    """The edits, in the rows of the edited arm alone."""
    if 1 not in arms:
        return {}
    return {
        layer: LayerEdit(
            torch.cat([edit.gain if arm else torch.ones_like(edit.gain) for arm in arms]),
            torch.cat([edit.value if arm else torch.zeros_like(edit.value) for arm in arms])
            if isinstance(edit.value, Tensor)
            else None,
        )
        for layer, edit in edits.items()
    }

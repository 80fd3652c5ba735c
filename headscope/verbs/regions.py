"""Where does each head read, at the place where the answer is read? See ``stats.regions`` and ``measure.regions``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from headscope.heads import every_head
from headscope.measure.asked import encoder_of
from headscope.measure.passes import Progress
from headscope.measure.regions import divide, read_regions
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.stats.regions import RegionBlock, regions_table
from headscope.verbs.request import batch_budget, chosen_concepts, templates_of
from headscope.verbs.result import Result


class RegionsResult(Result):
    """``tables``: attention_by_region."""


def attention_by_region(
    model: HeadModel,
    profile: Profile,
    *,
    concepts: Sequence[str] | str | None = None,
    chat_template: bool | str = False,
    pack: bool = True,
    batch_tokens: int | None = None,
    progress: Progress | None = None,
) -> RegionsResult:
    """Shares of attention at the readouts by region of the text, for every head and concept.

    Args:
        model: the model.
        profile: what is asked. Prompts whose span is not known are left out: what is theirs and what is the rest of the
            prompt cannot be told apart.
        concepts: only these; all by default.
        chat_template: wrap prompts in the tokenizer's chat template; a text names one of several.
        pack: share prefixes between prompts where the model allows it.
        batch_tokens: most tokens of a batch.
        progress: told how far the work is.
    """
    names = chosen_concepts(profile, concepts)
    budget = batch_budget(model, batch_tokens)
    encoder = encoder_of(model, chat_template=chat_template)
    templates = templates_of(profile).of
    heads = every_head(model.heads_per_layer)
    layer, head = [h.layer for h in heads], [h.head for h in heads]
    halvings: list[int] = []
    blocks: list[RegionBlock] = []
    for name in names:
        prompts = [prompt for prompt in profile.prompts_of(name) if prompt.span is not None]
        labels = sorted({templates[prompt.id] for prompt in prompts})
        if not labels:
            continue
        place = {label: index for index, label in enumerate(labels)}
        owner_of = [place[templates[prompt.id]] for prompt in prompts]
        readouts: Sequence[str | None] = profile.readouts or (None,)
        share, written = read_regions(
            model,
            [divide(encoder, prompt, readout) for prompt in prompts for readout in readouts],
            [owner for owner in owner_of for _ in readouts],
            len(labels),
            batch_tokens=budget, pack=pack, progress=progress, halved=halvings.append,
        )  # fmt: skip
        n_prompts = np.bincount(owner_of, minlength=len(labels))
        blocks.append(RegionBlock(name, heads, share[:, layer, head], written[:, layer, head], n_prompts))
    record: dict[str, Any] = {"concepts": list(names), "batch_tokens": budget, "n_batches_halved": sum(halvings)}
    return RegionsResult({"attention_by_region": regions_table(blocks)}, xr.Dataset(), record, "attention_by_region")

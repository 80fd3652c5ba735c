"""Where does each head read, at the place where the answer is read? See ``stats.regions`` and ``measure.regions``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from headscope.heads import every_head
from headscope.measure.regions import divide, read_regions
from headscope.stats.regions import RegionBlock, regions_table
from headscope.study import Study
from headscope.verbs.result import Result


class RegionsResult(Result):
    """``tables``: attention_by_region."""


def attention_by_region(study: Study) -> RegionsResult:
    """Shares of attention at the readouts by region of the text, for every head and concept.

    Prompts of which no place is marked are left out: what is the concept's and what is the rest cannot be told apart.
    """
    model, profile = study.model, study.profile
    heads = every_head(model.heads_per_layer)
    layer, head = [h.layer for h in heads], [h.head for h in heads]
    halvings: list[int] = []
    blocks: list[RegionBlock] = []
    for name in study.names:
        prompts = [prompt for prompt in profile.prompts_of(name) if prompt.marked]
        labels = sorted({study.templates[prompt.id] for prompt in prompts})
        if not labels:
            continue
        place = {label: index for index, label in enumerate(labels)}
        owner_of = [place[study.templates[prompt.id]] for prompt in prompts]
        readouts: Sequence[str | None] = profile.readouts or (None,)
        share, written = read_regions(
            model,
            [divide(study.encoder, prompt, readout) for prompt in prompts for readout in readouts],
            [owner for owner in owner_of for _ in readouts],
            len(labels),
            batch_tokens=study.batch_tokens, pack=study.pack, progress=study.progress, halved=halvings.append,
        )  # fmt: skip
        n_prompts = np.bincount(owner_of, minlength=len(labels))
        blocks.append(RegionBlock(name, heads, share[:, layer, head], written[:, layer, head], n_prompts))
    record: dict[str, Any] = {
        "concepts": list(study.names), "batch_tokens": study.batch_tokens, "n_batches_halved": sum(halvings)
    }  # fmt: skip
    return RegionsResult({"attention_by_region": regions_table(blocks)}, xr.Dataset(), record, "attention_by_region")

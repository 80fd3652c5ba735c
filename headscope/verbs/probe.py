"""Which heads know the concept? A probe of each head's output, on templates left out; see ``stats.decodability``.

1. What each head puts out on a prompt is averaged over its tokens from the marked words on, readouts included, for
   the concept's prompts and their controls alike (``compared``).
2. Beside each head stand probes of as many random coordinates of the residual stream that enters its layer: what any
   reader of the stream could know there.

A head may know without doing: that a concept can be read off its output does not say that anything reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from headscope.errors import RequestError
from headscope.heads import every_head
from headscope.measure.layout import PromptLayout
from headscope.measure.prompt_means import FloatArray, prompt_means
from headscope.models.law_rows import tolerance_of
from headscope.random_streams import generator
from headscope.rounding import EPSILON
from headscope.stats.decodability import FEWEST_TEMPLATES, decode
from headscope.study import Study
from headscope.tables import TABLES
from headscope.verbs.compared import compared_rows, first_places
from headscope.verbs.result import Result

N_RESIDUAL_DRAWS = 5


class ProbeResult(Result):
    """``tables``: probes."""


def probe(study: Study) -> ProbeResult:
    """Whether each head's output tells each concept's prompts from their controls, on templates left out.

    Args:
        study: what is asked of which model.

    Raises:
        RequestError: there are no controls, or a class has fewer than two templates.
    """
    check_can_be_probed(study)
    model, layouts = study.model, study.layouts
    first, everywhere = first_places(study, study.layouts)
    means = prompt_means(model, layouts, first, batch_tokens=study.batch_tokens, progress=study.progress)
    tables = [_table(study, name, means.heads, means.stream) for name in study.names]
    warnings = list(study.warnings)
    if everywhere:
        warnings.append("not every prompt has marked words: probes read the mean over all tokens of every prompt")
    if len(means.stream) < len(means.heads):
        warnings.append("the residual stream was not found in every layer: no probes of it there")
    record: dict[str, Any] = {
        "concepts": list(study.names), "seed": study.seed, "batch_tokens": study.batch_tokens,
        "n_batches_halved": means.n_halved, "warnings": warnings,
    }  # fmt: skip
    return ProbeResult({"probes": pd.concat(tables, ignore_index=True)}, xr.Dataset(), record, "probes")


def check_can_be_probed(study: Study) -> None:
    """Raise RequestError where no probe can be tried on templates left out."""
    if why := why_no_probes(study):
        raise RequestError(
            "a probe cannot be tried on templates left out",
            expected=f"prompts of at least {FEWEST_TEMPLATES} templates of each class",
            got=why,
            fix="give more templates in the profile",
        )


def why_no_probes(study: Study) -> str:
    """Why no probe can be tried on templates left out; empty where it can."""
    if not study.profile.controls:
        return "the profile has no control prompts"
    for name in study.names:
        rows = compared_rows(study, name)
        classes = {(study.layouts[i].concept == name, study.layouts[i].template) for i in rows}
        for is_concept, what in ((True, f"{name} has"), (False, f"the controls of {name} have")):
            if sum(one is is_concept for one, _ in classes) < FEWEST_TEMPLATES:
                return f"{what} fewer than {FEWEST_TEMPLATES} templates"
    return ""


def _table(study: Study, name: str, heads: dict[int, FloatArray], stream: dict[int, FloatArray]) -> pd.DataFrame:
    rows = compared_rows(study, name)
    is_concept = np.array([study.layouts[i].concept == name for i in rows])
    templates = study.labels_of(rows)
    rounding = _rounding(study, [study.layouts[i] for i in rows])
    known = decode([heads[n][rows] for n in heads], is_concept, templates, seed=study.seed, rounding=rounding)
    places = [head for head in every_head(study.model.heads_per_layer) if head.layer in heads]
    of_stream: dict[int, float] = {}
    for n in (layer for layer in heads if layer in stream):
        drawn = _drawn(stream[n][rows], heads[n].shape[2], study.seed, n)
        read = decode([drawn], is_concept, templates, seed=study.seed, rounding=rounding, n_shuffles=0)
        of_stream[n] = float(read.auroc.mean())  # NaN where a draw does not vary
    table = pd.DataFrame(
        {
            "concept": name,
            "layer": [head.layer for head in places],
            "head": [head.head for head in places],
            "probe_auroc": known.auroc,
            "probe_auroc_low": known.low,
            "probe_auroc_high": known.high,
            "probe_accuracy": known.accuracy,
            "p_value": known.p_value,
            "p_max_t": known.p_max_t,
            "q_value": known.q_value,
            "shuffled_auroc": known.shuffled_auroc,
            "residual_auroc": [of_stream.get(head.layer, np.nan) for head in places],
            "n_prompts": known.n_prompts,
            "n_templates": known.n_templates,
            "status": "exploratory" if known.is_tested else "descriptive",
            "note": known.notes,
        }
    )
    return table[list(TABLES["probes"].columns)]


def _drawn(stream: FloatArray, size: int, seed: int, layer: int) -> FloatArray:
    """[n, N_RESIDUAL_DRAWS, size] random coordinates of the stream; all of them where there are no more."""
    width = stream.shape[1]
    draws = [
        generator(seed, "probe_coordinates", layer, draw).choice(width, min(size, width), replace=False)
        for draw in range(N_RESIDUAL_DRAWS)
    ]
    return np.stack([stream[:, np.sort(draw)] for draw in draws], axis=1)


def _rounding(study: Study, layouts: Sequence[PromptLayout]) -> float:
    """What of a mean may differ by rounding between two batches, in units of the largest value."""
    kind = study.model.dtype
    if kind in (torch.float16, torch.bfloat16):
        return EPSILON[str(kind).removeprefix("torch.")]  # two roundings of one stored value
    return tolerance_of(study.model, n_tokens=max(len(row) for layout in layouts for row in layout.rows))

"""What gradient and direct scores become: the ``scores`` and ``components`` tables, named arrays, a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from headscope.heads import every_head
from headscope.measure.direct import DirectScores
from headscope.measure.gradients import FastScores, FloatArray
from headscope.measure.layout import PromptLayout
from headscope.models.head_model import HeadModel
from headscope.stats.clusters import equal_weight_mean, template_means
from headscope.stats.fast_scores import score_rows
from headscope.study import Study
from headscope.verbs.result import prompt_coords


@dataclass(frozen=True)
class Measure:
    """A fast score: the edit whose effect it predicts, and the unit."""

    name: str
    edit: str
    unit: str = "nats"


MEASURES = (
    Measure("gate_gradient", "zero"),
    Measure("attribution_patching", "mean"),
    Measure("attribution_patching_matched", "matched_control"),
    Measure("integrated_gradient", "mean"),
    Measure("direct_effect", "mean"),
    Measure("direct_logit", "zero", "logits"),
)


def _by_measure(fast: FastScores, direct: DirectScores | None) -> dict[str, FloatArray]:
    """Measure -> [n_prompts, L, H] predicted effect."""
    found = {name: getattr(fast, name) for name in (one.name for one in MEASURES[:4])}
    if direct is not None:
        found |= {"direct_effect": direct.effect, "direct_logit": -direct.heads}
    return found


def scores_of(
    model: HeadModel,
    names: Sequence[str],
    prompts: Sequence[PromptLayout],
    fast: FastScores,
    direct: DirectScores | None,
) -> pd.DataFrame:
    """The ``scores`` table: every measure of every head and concept."""
    heads = every_head(model.heads_per_layer)
    at = np.array([(head.layer, head.head) for head in heads]).T
    found = _by_measure(fast, direct)
    parts: list[pd.DataFrame] = []
    for name in names:
        rows = [i for i, one in enumerate(prompts) if one.concept == name]
        labels = [prompts[i].template for i in rows]
        parts += [
            score_rows(name, one.name, one.edit, one.unit, found[one.name][rows][:, at[0], at[1]], heads, labels)
            for one in MEASURES
            if one.name in found
        ]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def components_of(
    model: HeadModel, names: Sequence[str], prompts: Sequence[PromptLayout], direct: DirectScores
) -> pd.DataFrame:
    """The ``components`` table: what adds up to the logit difference, part by part; ``total`` is the model's own."""
    columns: list[tuple[str, int | None, int | None, FloatArray]] = [("embedding", None, None, direct.embedding)]
    for layer, n_heads in enumerate(model.heads_per_layer):
        columns += [("head", layer, h, direct.heads[:, layer, h]) for h in range(n_heads)]
        columns.append(("attention_bias", layer, None, direct.attention_bias[:, layer]))
        columns.append(("feed_forward", layer, None, direct.feed_forward[:, layer]))
    columns += [("bias", None, None, direct.bias), ("total", None, None, direct.total)]
    parts: list[pd.DataFrame] = []
    for name in names:
        mine = [i for i, one in enumerate(prompts) if one.concept == name]
        stacked = np.stack([values[mine] for *_, values in columns], axis=1)
        means = template_means(stacked, [prompts[i].template for i in mine])
        table = pd.DataFrame([place for *place, _ in columns], columns=["component", "layer", "head"])
        table = table.astype({"layer": "Int64", "head": "Int64"})
        parts.append(
            table.assign(
                concept=name,
                estimate=equal_weight_mean(means.means),
                unit="logits",
                n_prompts=len(mine),
                n_templates=len(means.means),
            )
        )
    return pd.concat(parts, ignore_index=True)


def arrays_of_scores(
    study: Study, prompts: Sequence[PromptLayout], fast: FastScores, direct: DirectScores | None
) -> xr.Dataset:
    """Every score for each prompt and head, and the other parts of the logit difference."""
    by_head, by_layer, by_prompt = ("prompt", "layer", "head"), ("prompt", "layer"), ("prompt",)
    found: dict[str, tuple[tuple[str, ...], FloatArray, dict[str, str]]] = {}
    for one in MEASURES:
        values = _by_measure(fast, direct).get(one.name)
        if values is not None and not np.isnan(values).all():
            found[one.name] = (by_head, values, {"unit": one.unit})
    if not np.isnan(fast.all_edited).all():
        found["all_edited"] = (by_prompt, fast.all_edited, {"unit": "nats"})
        found["completeness_error"] = (by_prompt, fast.completeness_error, {"unit": "nats"})
    if direct is not None:
        logits = {"unit": "logits"}
        found["feed_forward_logit"] = (by_layer, direct.feed_forward, logits)
        found["attention_bias_logit"] = (by_layer, direct.attention_bias, logits)
        found["embedding_logit"] = (by_prompt, direct.embedding, logits)
        found["bias_logit"] = (by_prompt, direct.bias, logits)
        found["logit_difference"] = (by_prompt, direct.total, logits)
    return xr.Dataset(
        found,
        coords=prompt_coords(study, prompts)
        | {
            "layer": range(len(study.model.anatomy)),
            "head": range(max(study.model.heads_per_layer)),
        },
    )


def facts_of_scores(
    names: Sequence[str], prompts: Sequence[PromptLayout], fast: FastScores, direct: DirectScores | None
) -> dict[str, Any]:
    """JSON-able facts for the manifest."""
    with_pair = ~np.isnan(fast.attribution_patching_matched).all(axis=(1, 2))
    facts: dict[str, Any] = {
        "concepts": list(names),
        "n_prompts": len(prompts),
        "n_matched": int(with_pair.sum()),
        "n_passes_per_batch": fast.n_passes,
        "gradient_batch_tokens": fast.batch_tokens,
        "n_batches_halved": fast.n_halved + (0 if direct is None else direct.n_halved),
    }
    if not np.isnan(fast.all_edited).all():
        facts["completeness_error_nats"] = float(np.abs(fast.completeness_error).max())
        facts["all_edited_mean_abs_nats"] = float(np.abs(fast.all_edited).mean())
    if direct is not None:
        facts["additivity_error"] = direct.additivity_error
    return facts

"""Is my data fit, by what the unedited model does: does it show the concept, is it right in the task?

One pass over the prompts and their partners, or over some of them: where a concept has more than ``MOST_PROMPTS``, at
most ``MOST_TEMPLATES`` templates are drawn, and of each equally many prompts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from headscope.profiles.types import Prompt
from headscope.random_streams import generator
from headscope.stats.clusters import equal_weight_mean, template_means
from headscope.stats.power import templates_for_power
from headscope.study import Study
from headscope.terms import ALPHA
from headscope.verbs.effect_rows import assay_tables
from headscope.verbs.fit_row import FitRow

MOST_TEMPLATES, MOST_PROMPTS = 40, 200
_FEW = "write more templates: with so few there is no interval"


def measured_rows(study: Study) -> Iterator[FitRow]:
    """Whether the model shows each concept, and its accuracy in each task."""
    part = sampled(study)
    tables = assay_tables(part, part.stage("assay", []).run())
    taken = {name: _taken(study, part, name) for name in study.names}
    yield from _shown(part, tables["assay"], taken)
    if "accuracy" in tables:
        yield from _accuracy(part, tables["accuracy"], taken)


def sampled(study: Study) -> Study:
    """The study of the prompts that are measured; the prompts count to the templates that they had."""
    kept: set[str] = set()
    needs_any_control = False
    for name in study.names:
        mine = _drawn(study, name, [prompt for prompt in study.prompts if prompt.concept == name])
        needs_any_control |= any(prompt.pair is None for prompt in mine)
        kept |= {prompt.id for prompt in mine} | {prompt.pair for prompt in mine if prompt.pair is not None}
    if needs_any_control:
        kept |= {prompt.id for prompt in _drawn(study, study.profile.control, study.profile.controls)}
    prompts = tuple(
        replace(prompt, template=study.templates[prompt.id]) for prompt in study.profile.prompts if prompt.id in kept
    )
    settings = replace(study.settings, concepts=study.names, outcomes=())
    return Study(study.model, replace(study.profile, prompts=prompts), **vars(settings))


def _drawn(study: Study, name: str, prompts: Sequence[Prompt]) -> Sequence[Prompt]:
    if len(prompts) <= MOST_PROMPTS:
        return prompts
    by_template: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        by_template.setdefault(study.templates[prompt.id], []).append(prompt)
    draw = generator(study.seed, "fitness", name)
    templates = sorted(by_template)
    chosen = [templates[i] for i in draw.permutation(len(templates))[:MOST_TEMPLATES]]
    each = max(1, MOST_PROMPTS // len(chosen))
    return [by_template[one][i] for one in chosen for i in draw.permutation(len(by_template[one]))[:each]]


def _taken(study: Study, part: Study, name: str) -> str:
    """What was measured of a concept's prompts, where that is not all of them."""
    mine, whole = ([p for p in one.prompts if p.concept == name] for one in (part, study))
    return "" if len(mine) == len(whole) else f"; measured on {len(mine)} of {len(whole)} prompts"


def _shown(part: Study, table: pd.DataFrame, taken: dict[str, str]) -> Iterator[FitRow]:
    control = part.profile.control
    for row in table.to_dict("records"):
        name, estimate = str(row["concept"]), float(row["estimate"])
        low, high, n = float(row["ci_low"]), float(row["ci_high"]), int(row["n_templates"])
        says = f"{name} - {control} prompts, no head off: {estimate:.2f} nats"
        says += f" over {n} templates" if math.isnan(low) else f" [{low:.2f}, {high:.2f}] over {n} templates"
        says += f" ({row['note']})" * bool(row["note"]) + taken[name]
        if row["shown"]:
            yield FitRow("the model shows it", name, "green", says)
        elif high < 0.0:
            fix = "look whether answers and foils, or the classes, are the wrong way round; no head gets a verdict"
            yield FitRow("the model shows it", name, "red", says, fix)
        elif math.isnan(low):
            yield FitRow("the model shows it", name, "yellow", says, f"{_FEW}, and no head gets a verdict")
        else:
            fix = "no head gets a verdict until the interval lies above 0: take other prompts or another model"
            needed = _templates_needed(estimate, low, high, n)
            if estimate > 0.0 and math.isfinite(needed) and needed > n:
                fix += f"; if the estimate is the truth, {needed:,.0f} templates would decide"
            yield FitRow("the model shows it", name, "yellow", says, fix)


def _templates_needed(estimate: float, low: float, high: float, n_templates: int) -> float:
    """Templates that find an effect of this size with 80 % power; NaN without an interval, or without a spread.

    The standard deviation over templates is read back from the interval, as for verdicts.
    """
    if not high > low:
        return math.nan
    error = (high - low) / 2 / float(stats.t.isf(ALPHA / 2, n_templates - 1))
    return templates_for_power(estimate / (error * math.sqrt(n_templates)))


def _accuracy(part: Study, table: pd.DataFrame, taken: dict[str, str]) -> Iterator[FitRow]:
    """Is an answer above every foil more often than chance would have it? A row a task that has foils.

    Chance: answers among all continuations of a prompt.
    """
    for row in table.to_dict("records"):
        name, right, n = str(row["concept"]), float(row["estimate"]), int(row["n_templates"])
        chance = _chance(part, name)
        low, high = float(row["ci_low"]), float(row["ci_high"])
        says = f"an answer is above every foil in {right:.0%} of prompts"
        beside = f"chance {chance:.0%}, over {n} templates{taken[name]}"
        if math.isnan(low):
            yield FitRow("accuracy", name, "yellow", f"{says}, {beside}", _FEW)
            continue
        says += f" [{low:.0%}, {high:.0%}], {beside}"
        if low > chance:
            yield FitRow("accuracy", name, "green", says)
        elif high < (1.0 + chance) / 2.0:
            fix = "this model does not do the task as it is asked here: take another model, or other prompts"
            yield FitRow("accuracy", name, "red", says, fix)
        else:
            fix = "write more templates: the interval holds chance, and much more"
            yield FitRow("accuracy", name, "yellow", says, fix)


def _chance(part: Study, name: str) -> float:
    """Mean over templates of the share that answers are among a prompt's continuations; of prompts with foils."""
    rows = [i for i in part.rows_of(name) if not all(c.is_answer for c in part.layouts[i].answers.continuations)]
    shares = np.array([np.mean([c.is_answer for c in part.layouts[i].answers.continuations]) for i in rows])
    return float(equal_weight_mean(template_means(shares[:, None], part.labels_of(rows)).means)[0])

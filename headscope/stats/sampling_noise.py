"""How far the effect on written text would move if the texts were drawn again, and how many samples would do.

1. The changes of one prompt, a sample each, are independent draws: both arms of a sample are written from one stream of
   random numbers, and every prompt and sample has its own. Their variance within the prompt is w (n - 1).
2. The estimate is the mean over T templates of the mean over their prompts of the mean over S samples, so its variance
   by sampling alone is  v = sum over templates of (sum over their prompts of w / S) / prompts^2, divided by T^2.
   With w the same everywhere and P prompts a template that is w / (T P S). ``sampling_sd`` is its root.
3. The squared standard error over templates, (n - 1) variance of template means / T, has in expectation v in it beside
   what templates, and prompts of one template, differ by: between / T + v. So between / T is estimated by the
   difference, and ``template_se`` is its root; 0 where the difference is negative.
4. v falls as 1 / S. ``samples_needed`` is the least S with  sampling_sd <= template_se / 3,  that is
   ceil(9 S v / template_se^2): with so many, sampling adds at most a ninth of the templates' variance to the
   interval's, which is 5 % of its width. More samples cannot do what more templates would.

With one sample w is unknown, and with greedy texts there is nothing to draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from numpy.typing import NDArray

from headscope.stats.clusters import standard_deviation, template_means
from headscope.tables import TABLES

FloatArray = NDArray[np.float64]

NOISE_SHARE = 1 / 3
"""Of the templates' standard error: what the noise of sampling may be."""

GREEDY = "greedy: no sampling noise"
ONE_SAMPLE = "unknown with one sample: ask for at least 2 (--samples 2)"
FEW_TEMPLATES = "fewer than two templates have a value: how they differ is not known"
ALL_NOISE = "templates differ by no more than sampling makes them: with more samples it can be said"
# A difference of two variances is rounded to about 1e-16 of the larger: a share below this is none.
_LEAST_SHARE = 1e-12


@dataclass(frozen=True)
class SampledBlock:
    """The changes of one outcome of text on one class of prompts, sample by sample.

    Attributes:
        keys: for each test the columns that identify its row, and its unit.
        changes: [n_prompts, n_tests, n_samples] edited - baseline; NaN is missing.
        templates: template id of each prompt.
        greedy: the texts are not drawn.
    """

    keys: Sequence[Mapping[str, object]]
    changes: Float[FloatArray, "prompts tests samples"]
    templates: Sequence[str | None]
    greedy: bool = False


@dataclass(frozen=True)
class SamplingNoise:
    """What ``sampling_noise`` finds for each test; NaN where it cannot be said.

    Attributes:
        sampling_sd: of the estimate, by sampling alone.
        template_se: of the estimate, without sampling.
        samples_needed: for each prompt and arm.
        n_prompts: that have a value in every sample.
        n_templates: of these.
    """

    sampling_sd: Float[FloatArray, " tests"]
    template_se: Float[FloatArray, " tests"]
    samples_needed: Float[FloatArray, " tests"]
    n_prompts: Int[NDArray[np.int64], " tests"]
    n_templates: Int[NDArray[np.int64], " tests"]


def sampling_noise(block: SampledBlock) -> SamplingNoise:
    """Noise of sampling of each test of a block; the module says how."""
    changes = np.asarray(block.changes, dtype=np.float64)
    n_samples = changes.shape[2]
    # As in the effect: a prompt counts where all its samples do. Both means are NaN for the same prompts.
    of_prompts = template_means(changes.mean(axis=2), block.templates)
    n_templates, present = of_prompts.n_templates, of_prompts.counts > 0
    counted = np.where(n_templates > 0, n_templates, 1)
    if block.greedy:
        variance = np.where(n_templates > 0, 0.0, np.nan)
    elif n_samples < 2:
        variance = np.full(len(n_templates), np.nan)
    else:
        within = template_means(changes.var(axis=2, ddof=1), block.templates).means
        of_templates = np.where(present, within / (n_samples * np.where(present, of_prompts.counts, 1)), 0.0)
        variance = np.where(n_templates > 0, of_templates.sum(axis=0) / counted**2, np.nan)
    squared = standard_deviation(of_prompts.means) ** 2 / counted
    between = np.where(squared - variance > _LEAST_SHARE * squared, squared - variance, 0.0)
    between = np.where(np.isnan(squared) | np.isnan(variance), np.nan, between)
    limit = NOISE_SHARE**2 * between
    needed = np.ceil(np.divide(n_samples * variance, limit, out=np.full_like(limit, np.nan), where=limit > 0))
    needed = np.where(variance == 0, 1.0, np.maximum(needed, 1.0))
    return SamplingNoise(np.sqrt(variance), np.sqrt(between), needed, of_prompts.n_prompts, n_templates)


def sampling_table(blocks: Sequence[SampledBlock]) -> pd.DataFrame:
    """The ``sampling`` table, a row for each test of each block."""
    rows: list[dict[str, object]] = []
    for block in blocks:
        found, n_samples = sampling_noise(block), block.changes.shape[2]
        for i, key in enumerate(block.keys):
            needed = found.samples_needed[i]
            rows.append(
                {
                    **key,
                    "n_samples": n_samples,
                    "sampling_sd": found.sampling_sd[i],
                    "template_se": found.template_se[i],
                    "samples_needed": pd.NA if np.isnan(needed) else int(needed),
                    "n_prompts": int(found.n_prompts[i]),
                    "n_templates": int(found.n_templates[i]),
                    "note": _note(found, i, n_samples, greedy=block.greedy),
                }
            )
    made = pd.DataFrame(rows, columns=TABLES["sampling"].columns)
    return made.astype({"samples_needed": "Int64"})


def _note(found: SamplingNoise, test: int, n_samples: int, *, greedy: bool) -> str:
    if greedy:
        return GREEDY
    if n_samples < 2:
        return ONE_SAMPLE
    if not np.isnan(found.samples_needed[test]):
        return ""
    return FEW_TEMPLATES if found.n_templates[test] < 2 else ALL_NOISE

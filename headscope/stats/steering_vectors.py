"""Steering vectors: where to push a head's output z, and how far one dose is. Fitted on other templates
than it is used on.

1. A fold is a template that is left out. Its mean difference is the mean over the other templates of z on the concept's
   prompts less that on their controls, each template weighted alike.
2. One dose is σ times the vector's direction: σ is the standard deviation of z along it over the tokens of the control
   prompts of the other templates.
3. That a fitted vector is more than noise is a claim of its own: the differences of templates left out must lie along
   the vector fitted to the others (``holds_elsewhere``). Chance is what swapping the labels of a template does.
4. A random vector has, in every head and fold, the norm of the vector it is compared with; its direction is drawn
   evenly from all of them, once for all folds.

Sources: Marks & Tegmark 2023 (arXiv:2310.06824), mean differences; Li et al. 2023 (arXiv:2306.03341), doses in σ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from headscope.errors import ProfileError
from headscope.stats.probes import fit_probe

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
N_PROBE_FOLDS = 5
_ALL_SIGNS_UP_TO = 12
Fit = Callable[[FloatArray, BoolArray, Sequence[str]], FloatArray]
"""(means [n, H, d], is_concept [n], templates [n]) -> directions [H, d]."""


def folds_of(templates: Sequence[str], n_folds: int | None = None) -> dict[str, int]:
    """Template -> the fold in which it is left out: one of its own, or one of ``n_folds`` that several share."""
    distinct = sorted(set(templates))
    return {template: i if n_folds is None else i % n_folds for i, template in enumerate(distinct)}


def mean_difference(means: FloatArray, is_concept: BoolArray, templates: Sequence[str]) -> FloatArray:
    """[...] mean over templates of the concept's values less that of the controls'; ``means`` [n_prompts, ...]."""
    return _template_mean(means, is_concept, templates) - _template_mean(means, ~is_concept, templates)


def _template_mean(means: FloatArray, chosen: BoolArray, templates: Sequence[str]) -> FloatArray:
    labels = np.array(templates)
    return np.mean([means[chosen & (labels == one)].mean(axis=0) for one in sorted(set(labels[chosen]))], axis=0)


def probe_directions(means: FloatArray, is_concept: BoolArray, templates: Sequence[str], *, seed: int) -> FloatArray:
    """[H, d] weights of each head's logistic probe (``probes.fit_probe``); 0 of a head whose output never varies."""
    directions = np.zeros(means.shape[1:])
    for head in np.flatnonzero(np.ptp(means, axis=0).any(axis=-1)):
        directions[head] = fit_probe(means[:, head], is_concept, templates, seed=seed).weights
    return directions


def cross_fitted(
    fit: Fit, means: FloatArray, is_concept: BoolArray, templates: Sequence[str], folds: Mapping[str, int]
) -> FloatArray:
    """[n_folds, ...] what ``fit`` says of the templates that are not in each fold.

    Raises:
        ProfileError: without a fold, one of the classes has no template left.
    """
    of = np.array([folds[template] for template in templates])
    fitted: list[FloatArray] = []
    for fold in range(max(folds.values()) + 1):
        kept = of != fold
        if not (kept & is_concept).any() or not (kept & ~is_concept).any():
            raise ProfileError(
                "a steering vector cannot be fitted without the template it is used on",
                expected="prompts of the concept and controls, each of at least two templates",
                got=f"{len(set(np.array(templates)[is_concept]))} templates of the concept and "
                f"{len(set(np.array(templates)[~is_concept]))} of controls",
            )
        fitted.append(fit(means[kept], is_concept[kept], [t for t, keep in zip(templates, kept, strict=True) if keep]))
    return np.stack(fitted)


def doses(
    directions: FloatArray, tokens: Sequence[npt.NDArray[np.floating]], templates: Sequence[str],
    folds: Mapping[str, int] | None,
) -> FloatArray:  # fmt: skip
    """[n_folds, H, d] what one dose adds to z: σ × unit vector; 0 where the direction has no length.

    Args:
        directions: [n_folds, H, d].
        tokens: of each control prompt [n_places, H, d].
        templates: of the control prompts.
        folds: template -> fold; None leaves nothing out.
    """
    n_folds, H, d = directions.shape
    length = np.linalg.norm(directions, axis=-1, keepdims=True)
    units = np.divide(directions, length, out=np.zeros_like(directions), where=length > 0.0)
    count, first, second = np.zeros(n_folds), np.zeros((n_folds, H, d)), np.zeros((n_folds, H, d, d))
    for of_prompt, template in zip(tokens, templates, strict=True):
        z, fold = np.asarray(of_prompt, dtype=np.float64), 0 if folds is None else folds[template]
        count[fold] += len(z)
        first[fold] += z.sum(axis=0)
        second[fold] += np.einsum("thd,the->hde", z, z)
    if folds is not None:
        count, first, second = (one.sum(axis=0) - one for one in (count, first, second))  # all folds but each
    mean = np.einsum("fhd,fhd->fh", first, units) / count[:, None]
    square = np.einsum("fhd,fhde,fhe->fh", units, second, units) / count[:, None]
    variance = np.maximum(square - mean**2, 0.0) * (count / np.maximum(count - 1.0, 1.0))[:, None]
    return np.sqrt(variance)[..., None] * units


def template_differences(means: FloatArray, is_concept: BoolArray, templates: Sequence[str]) -> FloatArray:
    """[n_templates, ...] concept − control of every template that has prompts of both; ``means`` [n_prompts, ...]."""
    labels = np.array(templates)
    both = sorted(set(labels[is_concept]) & set(labels[~is_concept]))
    found = [
        means[is_concept & (labels == t)].mean(axis=0) - means[~is_concept & (labels == t)].mean(axis=0) for t in both
    ]
    return np.array(found).reshape(len(both), *means.shape[1:])


def holds_elsewhere(differences: FloatArray, rng: np.random.Generator, *, n_flips: int = 9999) -> float:
    """One-sided p that each template's difference lies along those of the other templates; NaN below two templates.

    The statistic is the sum over pairs of templates of the products of their differences, heads weighted alike. A
    template whose labels are swapped changes sign, so under no difference all signs are as likely; up to 12 templates
    all of them are tried, else ``n_flips`` random ones, the observed among them. Exact where a template has as many
    prompts of both classes; else only where outputs lie evenly about their mean.

    Args:
        differences: [n_templates, k, d], concept − control, of each head of the set.
        rng: of the random signs.
        n_flips: random signs.
    """
    n = len(differences)
    if n < 2:
        return math.nan
    gram = np.einsum("tkd,skd->kts", differences, differences)
    traces = np.trace(gram, axis1=1, axis2=2)
    pairs = np.divide(gram, traces[:, None, None], out=np.zeros_like(gram), where=traces[:, None, None] > 0.0).sum(
        axis=0
    )
    np.fill_diagonal(pairs, 0.0)
    if n <= _ALL_SIGNS_UP_TO:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)  # the first row is as observed
    else:
        signs = np.concatenate([np.ones((1, n)), rng.choice((-1.0, 1.0), size=(n_flips, n))])
    values = np.einsum("fi,ij,fj->f", signs, pairs, signs, optimize=True)
    # What rounding leaves of equal sums counts as equal: they are sums of n² terms of float64.
    reach = values[0] - np.abs(pairs).sum() * n**2 * np.finfo(np.float64).eps
    return float((values >= reach).mean())


def random_like(vectors: FloatArray, rng: np.random.Generator) -> FloatArray:
    """[n_folds, ...] vectors of the same norms along the last axis, of one random direction for all folds."""
    drawn = rng.standard_normal(vectors.shape[1:])
    drawn /= np.linalg.norm(drawn, axis=-1, keepdims=True)
    return np.linalg.norm(vectors, axis=-1, keepdims=True) * drawn

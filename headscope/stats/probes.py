"""A logistic probe: a linear reading of a head's output that tells a concept's prompts from their controls.

1. Features are standardised on the prompts that are fitted on; what does not vary there has weight 0. Both classes
   weigh alike, whatever their numbers.
2. Weights minimise log loss + L2 penalty (scikit-learn). How strong the penalty is, is chosen by cross-validation over
   groups of the same prompts' templates, by log loss; the strongest of equals.
3. The standardisation is folded back: the weights are of the output as it is.

Whether a head's output can be read at all, on templates left out, with a test, is ``decodability``: it needs a probe
that can be fitted again to thousands of shuffled labels.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from headscope.errors import RequestError, WorkError
from headscope.random_streams import generator
from headscope.stats.clusters import BoolArray, FloatArray, IntArray

STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""Of scikit-learn's C, the strongest penalty first: ½ |w|² + C × summed log loss of standardised features."""
MOST_FOLDS = 5
LARGEST_GRADIENT = 1e-9
"""Of the mean loss, where a fit ends; Newton's steps square the error, so the last one costs next to nothing."""
_BOTH = 3  # a template with prompts of both classes, 1 + 2
_TIE = 1e-6  # relative; losses this close count as equal: what is left of the fits' own error is below it
_MOST_ITERATIONS = 200


@dataclass(frozen=True)
class Probe:
    """A linear reading: features @ weights + bias, above 0 where it says concept.

    Attributes:
        weights: of the features as they came, not standardised.
        bias: a number.
        C: the strength of the penalty that was chosen, one of ``STRENGTHS``.
    """

    weights: Float[FloatArray, " d"]
    bias: float
    C: float

    def scores(self, features: Float[NDArray[np.floating], "n d"]) -> Float[FloatArray, " n"]:
        """[n] the log-odds that each prompt is the concept's, as the probe has it."""
        return np.asarray(features, dtype=np.float64) @ self.weights + self.bias


def fit_probe(
    features: Float[NDArray[np.floating], "n d"],
    is_concept: Sequence[bool] | BoolArray,
    templates: Sequence[str],
    *,
    seed: int,
) -> Probe:
    """A probe of ``features``, fitted to all prompts given.

    Args:
        features: [n, d], a prompt a row.
        is_concept: [n] True for the concept's prompts, False for their controls.
        templates: [n] label of each prompt's template; prompts of one are never parted by the cross-validation.
        seed: deals the templates to folds.

    Raises:
        RequestError: lengths disagree, a value is not finite, a class is missing, there are fewer than two templates,
            or nothing varies.
        WorkError: the fit did not converge.
    """
    table, concept = checked(features, is_concept, templates)
    folds = folds_of(templates, concept, seed=seed)
    strength = STRENGTHS[0]
    if folds.max() > 0:
        losses = np.array([_held_out_loss(table, concept, folds, each) for each in STRENGTHS])
        strength = STRENGTHS[int(np.argmax(losses <= losses.min() * (1.0 + _TIE)))]
    return _fit(table, concept, strength)


def checked(
    features: NDArray[np.floating], is_concept: Sequence[bool] | BoolArray, templates: Sequence[str]
) -> tuple[FloatArray, BoolArray]:
    """Features and classes as arrays; see ``fit_probe`` for what is raised."""
    table, concept = np.asarray(features, dtype=np.float64), np.asarray(is_concept, dtype=np.bool_)
    if table.ndim != 2 or not len(table) == len(concept) == len(templates):
        raise RequestError(
            "features, classes and templates of a probe do not belong together",
            expected="features [n, d], and a class and a template for each of n prompts",
            got=f"features of shape {table.shape}, {len(concept)} classes, {len(templates)} templates",
        )
    if not np.isfinite(table).all():
        row, column = np.argwhere(~np.isfinite(table))[0]
        raise RequestError(
            "a feature of a probe is not finite", expected="finite numbers", where=f"prompt {row}, feature {column}"
        )
    if concept.all() or not concept.any():
        raise RequestError(
            "a probe has one class to tell apart",
            expected="prompts of the concept and of the control class",
            got=f"{concept.sum()} of the concept and {(~concept).sum()} controls",
        )
    if len(set(templates)) < 2:
        raise RequestError("a probe has one template to learn from", expected="at least two templates")
    if not (np.ptp(table, axis=0) > 0.0).any():
        raise RequestError("nothing varies among the features of a probe", expected="a feature that varies")
    return table, concept


def folds_of(templates: Sequence[str], is_concept: BoolArray, *, seed: int) -> IntArray:
    """[n] the fold of each prompt, that of its template, from 0; one fold where there can be no two.

    Templates are dealt one by one, in an order drawn by the seed: those of both classes first, then the others, class
    by class. There are at most ``MOST_FOLDS`` folds, and no more than templates that have either class, so that no
    fold lacks one and none is left without it.
    """
    codes = np.unique(np.asarray(templates, dtype=np.str_), return_inverse=True)[1].reshape(-1)
    n = int(codes.max()) + 1
    has = np.stack([np.bincount(codes, which, minlength=n) > 0 for which in (is_concept, ~is_concept)])
    n_folds = max(1, min(MOST_FOLDS, *has.sum(axis=1)))
    order = generator(seed, "probe_folds").permutation(n)
    kinds = has[0].astype(int) + 2 * has[1]
    fold_of = np.empty(n, dtype=np.int64)
    for kind in (_BOTH, 1, 2):
        mine = order[kinds[order] == kind]
        fold_of[mine] = (np.arange(len(mine)) + (0 if kind == _BOTH else np.sum(kinds == _BOTH))) % n_folds
    return fold_of[codes]


def _held_out_loss(features: FloatArray, is_concept: BoolArray, folds: IntArray, strength: float) -> float:
    """Mean log loss on the prompts of the folds left out, both classes weighing alike."""
    probability, truth = np.empty(len(features)), is_concept
    for train, test in _splits(folds):
        scores = _fit(features[train], is_concept[train], strength).scores(features[test])
        probability[test] = 0.5 * (1.0 + np.tanh(scores / 2.0))
    weight = np.where(truth, 1.0 / truth.sum(), 1.0 / (~truth).sum())
    return float(log_loss(truth, probability, sample_weight=weight, labels=[False, True]))


def _splits(folds: IntArray) -> Iterator[tuple[BoolArray, BoolArray]]:
    """For each fold the prompts to fit on and those left out."""
    for fold in range(int(folds.max()) + 1):
        yield folds != fold, folds == fold


def _fit(features: FloatArray, is_concept: BoolArray, strength: float) -> Probe:
    center, spread = features.mean(axis=0), features.std(axis=0)
    # Rounding leaves about 1e-16 of the mean where a feature is constant: that is no spread.
    varies = spread > 1e-12 * np.abs(center)
    scaled = np.where(varies, (features - center) / np.where(varies, spread, 1.0), 0.0)
    model = LogisticRegression(
        C=strength, class_weight="balanced", solver="newton-cholesky", tol=LARGEST_GRADIENT, max_iter=_MOST_ITERATIONS
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            model.fit(scaled, is_concept)
        except ConvergenceWarning as error:
            raise WorkError(
                "the fit of a probe did not converge", got=f"{_MOST_ITERATIONS} iterations with C = {strength}"
            ) from error
    [fitted], [intercept] = np.asarray(model.coef_), np.asarray(model.intercept_)
    weights = np.where(varies, fitted / np.where(varies, spread, 1.0), 0.0)
    return Probe(weights, float(intercept) - float(center @ weights), strength)

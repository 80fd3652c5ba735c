"""Can the concept be read off a head's output, on templates left out? Held-out AUROC, tested against shuffled labels.

1. The probe is a linear discriminant: features standardised on the training prompts, then ridge regression on the class
   with a penalty of 1 a prompt (half of an average correlation is shrunk away). Its strength is fixed beforehand, so a
   held-out score is a fixed matrix times the training labels: labels can be shuffled and the probe fitted again
   thousands of times, for every head, at the cost of a product. A logistic probe orders prompts much alike and cannot.
2. Scores are cross-fitted over groups of templates (``probes.folds_of``). Scores of two folds come from two probes and
   are on no common scale, so only prompts of one template are compared: the share of (concept, control) pairs in which
   the concept's prompt scores higher. The mean over templates is the AUROC.
3. Shuffled labels: a template's two classes are swapped or not, and everything is fitted again. Exact where a template
   has as many prompts of both. One shuffle holds for all heads, which gives max-T over them. p is one-sided: only more
   than chance can be read.
   Flipping the signs of the templates' own values would not do: each probe is fitted to the labels of the others, so
   under the null the values are correlated, the variance of their mean is up to twice that of independent ones, and a
   nominal 5 % would be 17 %.
4. The interval is that of t over templates with the variance of cross-validation as Nadeau & Bengio (2003) correct it,
   times 1 + K / (K - 1) for K folds; near the ends of the scale, where templates agree, at least as wide as what n
   agreeing templates leave open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy import stats

from headscope.errors import RequestError
from headscope.random_streams import generator
from headscope.stats.clusters import (
    MIN_TEMPLATES,
    BoolArray,
    FloatArray,
    IntArray,
    equal_weight_mean,
    standard_deviation,
)
from headscope.stats.multiplicity import benjamini_hochberg
from headscope.stats.probes import folds_of
from headscope.stats.verdicts import ATTENDS_ONLY, NO_EFFECT
from headscope.terms import ALPHA

N_SHUFFLES = 1_999
UNPAIRED = "no template has prompts of both classes: compared with all controls left out, without a test"
STILL = "the output does not vary by more than rounding"
_TIE = 1e-9  # AUROCs this close count as equal, which errs on the large side of p
FEWEST_TEMPLATES = 2
_VALUES_AT_ONCE = 2**18


@dataclass(frozen=True)
class Decoded:
    """What can be read of each head, one concept; NaN where nothing can be said.

    Attributes:
        auroc: on templates left out; accuracy: the same, both classes weighing alike.
        low: lower limit of the 95 % interval of the AUROC; high: its upper one.
        p_value: one-sided, against shuffled labels; p_max_t: the same over all heads; q_value: Benjamini-Hochberg.
        shuffled_auroc: mean over the shuffles.
        notes: for each head why a value is missing, or "".
        n_prompts: of the concept that were compared.
        n_templates: their templates.
        is_tested: whether there are templates enough, with prompts of both classes.
    """

    auroc: Float[FloatArray, " heads"]
    accuracy: Float[FloatArray, " heads"]
    low: Float[FloatArray, " heads"]
    high: Float[FloatArray, " heads"]
    p_value: Float[FloatArray, " heads"]
    p_max_t: Float[FloatArray, " heads"]
    q_value: Float[FloatArray, " heads"]
    shuffled_auroc: Float[FloatArray, " heads"]
    notes: tuple[str, ...]
    n_prompts: int
    n_templates: int
    is_tested: bool


def decode(
    features: Sequence[Float[NDArray[np.floating], "n _ _"]],
    is_concept: Sequence[bool] | BoolArray,
    templates: Sequence[str],
    *,
    seed: int,
    rounding: float = 0.0,
    n_shuffles: int = N_SHUFFLES,
) -> Decoded:
    """Read a concept off every head.

    Args:
        features: for each layer [n, H, d], the output of its heads on each prompt.
        is_concept: [n] True for the concept's prompts, False for their controls.
        templates: [n] template label of each prompt.
        seed: deals the templates to folds and shuffles.
        rounding: what varies by no more than this, in units of a head's largest value, does not vary.
        n_shuffles: of the labels; 0 for none, and no test.

    Raises:
        RequestError: lengths disagree, a value is not finite, or a class has fewer than two templates.
    """
    concept = np.asarray(is_concept, dtype=np.bool_)
    _check(features, concept, templates)
    design = _Design.of(concept, templates, seed=seed, n_shuffles=n_shuffles)
    parts = [_read(np.asarray(layer, dtype=np.float64), design, rounding) for layer in features]
    values, shuffled, right = (np.concatenate(part) for part in zip(*parts, strict=True))
    auroc = equal_weight_mean(values.T)
    moves = np.asarray(~np.isnan(auroc))
    empty = np.full(len(auroc), np.nan)
    low, high, p_value, p_max_t = (empty.copy() for _ in range(4))
    if design.is_tested:
        low, high = _interval(values.T, design.n_folds)
        if n_shuffles and moves.any():
            reached = shuffled[moves] >= auroc[moves, None] - _TIE
            p_value[moves] = (reached.sum(axis=1) + 1) / (n_shuffles + 1)
            largest = np.sort(shuffled[moves].max(axis=0))
            beyond = n_shuffles - np.searchsorted(largest, auroc[moves] - _TIE)
            p_max_t[moves] = (beyond + 1) / (n_shuffles + 1)
    note = "" if design.is_paired else UNPAIRED
    return Decoded(
        auroc, np.where(moves, right, np.nan), low, high, p_value, p_max_t, benjamini_hochberg(p_value),
        shuffled.mean(axis=1) if shuffled.shape[1] else empty, tuple(note if one else STILL for one in moves.tolist()),
        design.n_prompts, design.n_templates, design.is_tested,
    )  # fmt: skip


def knowing_not_acting(probes: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``probes`` whose head tells the concept and whose removal is shown to matter less than δ, best first.

    It tells where p over all heads is at most ``ALPHA``; removal matters less by the verdicts ``no effect`` and
    ``attends only``, never where they are undecided.
    """
    idle = verdicts[verdicts["verdict"].isin((NO_EFFECT, ATTENDS_ONLY)) & ~verdicts["heads"].str.contains(",")]
    named = set(zip(idle["concept"], idle["heads"], strict=True))
    told = probes[probes["p_max_t"] <= ALPHA]
    heads = zip(told["concept"], told["layer"], told["head"], strict=True)
    is_idle = np.array([(concept, f"{layer}:{head}") in named for concept, layer, head in heads], dtype=np.bool_)
    return told[is_idle].sort_values("probe_auroc", ascending=False, kind="stable")


def _check(features: Sequence[NDArray[np.floating]], concept: BoolArray, templates: Sequence[str]) -> None:
    n = len(concept)
    if not features or len(templates) != n or any(layer.ndim != 3 or len(layer) != n for layer in features):
        shapes = ", ".join(str(layer.shape) for layer in features)
        raise RequestError(
            "outputs, classes and templates do not belong together",
            expected="for each layer [n, heads, d], and a class and a template for each of n prompts",
            got=f"outputs of shape {shapes or 'none'}, {n} classes, {len(templates)} templates",
        )
    for number, layer in enumerate(features):
        if not np.isfinite(layer).all():
            raise RequestError("the output of a head is not finite", expected="finite numbers", where=f"layer {number}")
    classes: dict[bool, set[str]] = {True: set(), False: set()}
    for label, is_concept in zip(templates, concept.tolist(), strict=True):
        classes[is_concept].add(label)
    for is_concept, labels in classes.items():
        if len(labels) < FEWEST_TEMPLATES:
            raise RequestError(
                "a probe cannot be tried on templates left out",
                expected=f"at least {FEWEST_TEMPLATES} templates of each class",
                got=f"{len(labels)} of {'the concept' if is_concept else 'the control class'}",
                fix="give more templates in the profile",
            )


@dataclass(frozen=True)
class _Design:
    """Who is compared with whom, on which fold, under which labels.

    Attributes:
        labels: [n, 1 + n_shuffles] class of each prompt, 1 or -1 (weighing alike in sum); the true one first.
        folds: [n] fold of each prompt.
        first: [n_pairs] the concept's prompt of each comparison; second: the control.
        unit: [n_pairs] number of the template it counts to.
        names: [n_templates] the templates that are compared.
        swapped: [n_templates, 1 + n_shuffles] whether the classes of each template are swapped.
        n_prompts: of the concept, that are compared.
        is_paired: within templates.
    """

    labels: Float[FloatArray, "n shuffles"]
    folds: Int[IntArray, " n"]
    first: Int[IntArray, " pairs"]
    second: Int[IntArray, " pairs"]
    unit: Int[IntArray, " pairs"]
    names: tuple[str, ...]
    swapped: Bool[BoolArray, "templates shuffles"]
    n_prompts: int
    is_paired: bool

    @classmethod
    def of(cls, concept: BoolArray, templates: Sequence[str], *, seed: int, n_shuffles: int) -> _Design:
        names, codes = np.unique(np.asarray(templates, dtype=np.str_), return_inverse=True)
        codes = codes.reshape(-1)
        folds = folds_of(templates, concept, seed=seed)
        same = codes[:, None] == codes
        of_both = concept[:, None] & ~concept
        is_paired = bool((same & of_both).any())
        first, second = np.nonzero(of_both & (same if is_paired else folds[:, None] == folds))
        compared, unit = np.unique(codes[first], return_inverse=True)
        drawn = generator(seed, "probe_shuffles").random((len(names), n_shuffles)) < 0.5
        swapped = np.concatenate([np.zeros((len(names), 1), dtype=np.bool_), drawn if is_paired else drawn[:, :0]], 1)
        weight = np.where(concept, 1.0 / concept.sum(), -1.0 / (~concept).sum()) * len(concept) / 2.0
        labels = weight[:, None] * np.where(swapped[codes], -1.0, 1.0)
        n_prompts = len(np.unique(first))
        of = tuple(str(name) for name in names[compared])
        return cls(labels, folds, first, second, unit.reshape(-1), of, swapped[compared], n_prompts, is_paired)

    @property
    def n_templates(self) -> int:
        return len(self.swapped)

    @property
    def n_folds(self) -> int:
        return int(self.folds.max()) + 1

    @property
    def is_tested(self) -> bool:
        return self.is_paired and self.n_templates >= MIN_TEMPLATES


def _read(layer: FloatArray, design: _Design, rounding: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of a layer's heads the templates' AUROCs [H, n_templates], the shuffled mean AUROCs [H, n_shuffles], and the
    accuracy [H]."""
    n_heads, n_labels = layer.shape[1], design.labels.shape[1]
    values, means = np.full((n_heads, design.n_templates), np.nan), np.zeros((n_heads, n_labels))
    right = np.zeros((n_heads, design.n_templates))
    n_pairs = np.bincount(design.unit, minlength=design.n_templates)
    still = np.ptp(layer, axis=0).max(axis=1) <= rounding * np.abs(layer).max(axis=(0, 2))
    for train, test, operator in _operators(layer, design, rounding):
        pairs = np.flatnonzero(test[design.first])
        place = np.cumsum(test) - 1
        first, second = place[design.first[pairs]], place[design.second[pairs]]
        units, inside = np.unique(design.unit[pairs], return_inverse=True)
        share = (inside.reshape(-1) == np.arange(len(units))[:, None]) / n_pairs[units][:, None]  # [units, pairs]
        swapped = design.swapped[units]
        step = max(1, _VALUES_AT_ONCE // max(1, len(pairs)))
        for h in range(n_heads):
            for begin in range(0, n_labels, step):
                some = slice(begin, begin + step)
                scores = operator[h][test] @ design.labels[train, some]
                apart = scores[first] - scores[second]
                auroc = share @ (0.5 + 0.5 * np.sign(apart))
                auroc = np.where(swapped[:, some], 1.0 - auroc, auroc)
                means[h, some] += auroc.sum(axis=0)
                if begin == 0:
                    values[h, units] = auroc[:, 0]
            right[h, units] = share @ _rightness(operator[h], design, train, test, first, second)
    values[still] = np.nan
    means = np.where(still[:, None], np.nan, means / design.n_templates)
    return values, means[:, 1:], right.mean(axis=1)


def _operators(
    layer: FloatArray, design: _Design, rounding: float
) -> Iterator[tuple[BoolArray, BoolArray, Float[FloatArray, "H n m"]]]:
    """For each fold the prompts fitted on and left out, and for each head the matrix that takes the labels of the m
    prompts fitted on to the scores of all n: standardised features x (X'X + m)^-1 X'."""
    threshold = rounding * np.abs(layer).max(axis=(0, 2))[:, None]
    for fold in range(design.n_folds):
        train = design.folds != fold
        known = layer[train]
        center, spread = known.mean(axis=0), known.std(axis=0)
        varies = spread > np.maximum(threshold, 1e-12 * np.abs(center))
        scaled = np.where(varies, (layer - center) / np.where(varies, spread, 1.0), 0.0).transpose(1, 0, 2)
        fitted = scaled[:, train]  # [H, m, d], each column's mean 0: the intercept of the regression drops out
        gram = fitted.transpose(0, 2, 1) @ fitted
        gram[:, np.arange(gram.shape[1]), np.arange(gram.shape[1])] += len(known)
        yield train, ~train, scaled @ np.linalg.solve(gram, fitted.transpose(0, 2, 1))


def _rightness(
    operator: FloatArray, design: _Design, train: BoolArray, test: BoolArray, first: IntArray, second: IntArray
) -> Float[FloatArray, " pairs"]:
    """For each comparison of a fold the mean of whether both prompts fall on their side of the probe's threshold.

    The threshold lies midway between the mean scores of the classes it was fitted to.
    """
    truth = design.labels[:, 0]
    scores = operator @ truth[train]
    middle = (scores[train & (truth > 0)].mean() + scores[train & (truth < 0)].mean()) / 2.0
    side = 0.5 + 0.5 * np.sign(scores[test] - middle)
    return 0.5 * (side[first] + 1.0 - side[second])


def _interval(values: Float[FloatArray, "templates heads"], n_folds: int) -> tuple[FloatArray, FloatArray]:
    n, mean = len(values), equal_weight_mean(values)
    corrected = np.sqrt((1.0 + n_folds / (n_folds - 1)) / n)
    half = stats.t.isf(ALPHA / 2, n - 1) * corrected * standard_deviation(values)
    open_share = (ALPHA / 2) ** (1 / n)  # n templates would all agree so often if this share of them did
    low = np.minimum(mean - half, mean * open_share)
    return np.maximum(low, 0.0), np.minimum(np.maximum(mean + half, 1.0 - (1.0 - mean) * open_share), 1.0)

"""What can be read off a head: against a slow form with plain scikit-learn, under the null, and what never matters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from headscope.errors import RequestError
from headscope.random_streams import generator
from headscope.stats.decodability import STILL, UNPAIRED, Decoded, _Design, _read, decode
from headscope.stats.effects import FamilyTest, effect_rows
from headscope.stats.probes import folds_of
from tests.tolerances import FLOAT64_SUM

N_TEMPLATES, N_HEADS, D = 14, 3, 5
Made = tuple[NDArray[np.float64], NDArray[np.bool_], list[str]]


def made_up(seed: int, *, effect: float = 1.0, n_templates: int = N_TEMPLATES, n_heads: int = N_HEADS) -> Made:
    """Two prompts of each class in a template; the concept moves the first head alone."""
    rng = np.random.default_rng(seed)
    templates = [f"t{t}" for t in range(n_templates) for _ in range(4)]
    concept = np.tile([True, False, True, False], n_templates)
    outputs = rng.normal(size=(len(concept), n_heads, D)) + rng.normal(size=(n_templates, 1, D)).repeat(4, axis=0)
    outputs[:, 0, 0] += effect * concept
    return outputs, concept, templates


def fields(decoded: Decoded) -> dict[str, Any]:
    return {name: value for name, value in vars(decoded).items() if isinstance(value, np.ndarray)}


def slow_auroc(outputs: NDArray[np.float64], concept: NDArray[np.bool_], templates: list[str], *, seed: int) -> float:
    """One head: scikit-learn's ridge on scaled features fold by fold, pairs of a template counted one by one."""
    folds, names = folds_of(templates, concept, seed=seed), np.array(templates)
    scores = np.empty(len(concept))
    for fold in set(folds):
        train = folds != fold
        scaler = StandardScaler().fit(outputs[train])
        ridge = Ridge(alpha=float(train.sum())).fit(
            scaler.transform(outputs[train]), np.where(concept, 1.0, -1.0)[train]
        )
        scores[~train] = ridge.predict(scaler.transform(outputs[~train]))
    means = [
        np.mean([a > b for a in scores[(names == t) & concept] for b in scores[(names == t) & ~concept]])
        for t in set(templates)
    ]
    return float(np.mean(means))


def test_auroc_is_that_of_plain_sklearn() -> None:
    outputs, concept, templates = made_up(1)
    found = decode([outputs], concept, templates, seed=3, n_shuffles=0)
    expected = [slow_auroc(outputs[:, h], concept, templates, seed=3) for h in range(N_HEADS)]
    np.testing.assert_allclose(found.auroc, expected)


def test_a_shuffle_is_the_whole_probe_fitted_to_swapped_templates() -> None:
    outputs, concept, templates = made_up(2)
    found = decode([outputs], concept, templates, seed=3, n_shuffles=3)
    names = sorted(set(templates))
    drawn = generator(3, "probe_shuffles").random((N_TEMPLATES, 3)) < 0.5
    expected = np.empty((N_HEADS, 3))
    for shuffle in range(3):
        swapped = {name for name, is_swapped in zip(names, drawn[:, shuffle], strict=True) if is_swapped}
        labels = np.array([own != (name in swapped) for own, name in zip(concept, templates, strict=True)])
        expected[:, shuffle] = [slow_auroc(outputs[:, h], labels, templates, seed=3) for h in range(N_HEADS)]
    np.testing.assert_allclose(found.shuffled_auroc, expected.mean(axis=1))
    reached = found.auroc[:, None] - FLOAT64_SUM  # equal shares of pairs are equal
    np.testing.assert_allclose(found.p_value, ((expected >= reached).sum(axis=1) + 1) / 4)
    np.testing.assert_allclose(found.p_max_t, ((expected.max(axis=0) >= reached).sum(axis=1) + 1) / 4)


def test_the_head_that_carries_the_concept_is_found_and_no_other() -> None:
    found = decode([*np.split(made_up(3, effect=4.0)[0], N_HEADS, axis=1)], *made_up(3)[1:], seed=0)
    assert found.p_max_t[0] < 0.01
    assert found.low[0] > 0.5
    assert (found.p_max_t[1:] > 0.05).all()
    assert (found.low[1:] < 0.5).all()


def test_the_order_of_prompts_is_of_no_account() -> None:
    outputs, concept, templates = made_up(4)
    order = np.random.default_rng(0).permutation(len(concept))
    one = decode([outputs], concept, templates, seed=0, n_shuffles=99)
    other = decode([outputs[order]], concept[order], [templates[i] for i in order], seed=0, n_shuffles=99)
    for name, value in fields(one).items():
        np.testing.assert_allclose(fields(other)[name], value, err_msg=name)


def test_layers_are_read_apart_and_heads_by_themselves() -> None:
    outputs, concept, templates = made_up(5)
    together = decode([outputs], concept, templates, seed=0, n_shuffles=99)
    apart = decode([outputs[:, :1], outputs[:, 1:]], concept, templates, seed=0, n_shuffles=99)
    for name, value in fields(together).items():
        np.testing.assert_allclose(fields(apart)[name], value, err_msg=name)


def test_a_scale_or_an_offset_of_the_output_is_of_no_account() -> None:
    outputs, concept, templates = made_up(6)
    one = decode([outputs], concept, templates, seed=0, n_shuffles=99)
    other = decode([outputs * 1024.0 - 8.0], concept, templates, seed=0, n_shuffles=99)
    np.testing.assert_allclose(other.auroc, one.auroc)


def template_aurocs(outputs, concept, templates, *, seed):
    """The templates that are compared, and [H, templates] each head's AUROC in each."""
    design = _Design.of(np.asarray(concept), templates, seed=seed, n_shuffles=0)
    return list(design.names), _read(np.asarray(outputs, dtype=np.float64), design, 0.0)[0]


def test_a_fold_never_sees_its_templates() -> None:
    """A template is moved far: what is said of the others of its fold, which its own probe judges, is as before."""
    outputs, concept, templates = made_up(7)
    folds, names = folds_of(templates, concept, seed=0), np.array(templates)
    one, *others = dict.fromkeys(names[folds == 0].tolist())
    moved = outputs.copy()
    moved[names == one] += 1e3 * np.random.default_rng(1).normal(size=moved[names == one].shape)
    labels, before = template_aurocs(outputs, concept, templates, seed=0)
    after = template_aurocs(moved, concept, templates, seed=0)[1]
    same = [labels.index(label) for label in others]
    np.testing.assert_array_equal(after[:, same], before[:, same])
    seen = [at for at, label in enumerate(labels) if label not in (one, *others)]
    assert (after[:, seen] != before[:, seen]).any()  # the other folds are fitted to it


def test_shuffled_labels_reach_the_nominal_level() -> None:
    """Under the null p <= .05 in 5 % of heads; within the central 99.9 % of so many draws."""
    n_sets, n_heads = 40, 4
    p: list[float] = []
    for seed in range(n_sets):
        outputs, concept, templates = made_up(100 + seed, effect=0.0, n_templates=12, n_heads=n_heads)
        p.extend(decode([outputs], concept, templates, seed=seed, n_shuffles=99).p_value)
    low, high = binom.interval(0.999, n_sets * n_heads, 0.05)
    assert low <= sum(one <= 0.05 for one in p) <= high


def test_signs_of_templates_alone_would_promise_too_much() -> None:
    """Why labels are fitted again: the sign-flip test of cross-fitted values finds far more than 5 % under the null."""
    n_sets, n_heads = 60, 4
    p: list[float] = []
    for seed in range(n_sets):
        outputs, concept, templates = made_up(100 + seed, effect=0.0, n_templates=12, n_heads=n_heads)
        labels, values = template_aurocs(outputs, concept, templates, seed=seed)
        p.extend(effect_rows(values.T - 0.5, labels, FamilyTest(family="signs", n_flips=999), seed=seed)["p_value"])
    assert sum(one <= 0.05 for one in p) > binom.isf(0.0005, n_sets * n_heads, 0.05)


def test_few_templates_are_described_only() -> None:
    found = decode([made_up(8, n_templates=5)[0]], *made_up(8, n_templates=5)[1:], seed=0)
    assert not found.is_tested
    assert np.isfinite(found.auroc).all()
    assert np.isnan([found.p_value, found.p_max_t, found.q_value, found.low, found.high]).all()


def test_classes_without_a_common_template_are_compared_within_folds_and_not_tested() -> None:
    outputs, concept, templates = made_up(9, effect=5.0)
    own = [f"{label} {is_mine}" for label, is_mine in zip(templates, concept, strict=True)]
    found = decode([outputs], concept, own, seed=0)
    assert found.notes == (UNPAIRED,) * N_HEADS
    assert not found.is_tested
    assert found.auroc[0] > 0.9
    assert np.isnan(found.p_value).all()


def test_rounding_is_not_read() -> None:
    """A head whose output differs between classes by no more than rounding says nothing."""
    outputs, concept, templates = made_up(10)
    outputs[:, 1] = 7.0 + 1e-6 * concept[:, None]
    found = decode([outputs], concept, templates, seed=0, rounding=1e-6, n_shuffles=99)
    assert found.notes == ("", STILL, "")
    assert np.isnan([found.auroc[1], found.p_value[1], found.accuracy[1]]).all()
    assert np.isfinite(found.p_max_t[[0, 2]]).all()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda x, y, t: (x, y, ["same"] * len(t)), "left out"),
        (lambda x, y, t: (x, np.ones_like(y), t), "left out"),
        (lambda x, y, t: (np.where(x == x.max(), np.inf, x), y, t), "not finite"),
        (lambda x, y, t: (x[1:], y, t), "do not belong together"),
    ],
)
def test_what_cannot_be_read_is_refused(spoil: Any, words: str) -> None:
    outputs, concept, templates = spoil(*made_up(11))
    with pytest.raises(RequestError, match=words):
        decode([outputs], concept, templates, seed=0)

"""Steering vectors are fitted on other templates than they are used on, and a dose is one standard deviation."""

import itertools

import numpy as np
import pytest

from headscope.errors import ProfileError
from headscope.stats.steering_vectors import (
    cross_fitted,
    doses,
    folds_of,
    holds_elsewhere,
    mean_difference,
    random_like,
    template_differences,
)

TEMPLATES = [f"t{i}" for i in range(6)]
LABELS = TEMPLATES * 2
IS_CONCEPT = np.arange(12) < 6


def made_up(seed=0, shape=(3, 5)):
    return np.random.default_rng(seed).standard_normal((12, *shape))


def test_the_mean_difference_is_that_of_the_other_templates():
    means, folds = made_up(), folds_of(LABELS)
    fitted = cross_fitted(mean_difference, means, IS_CONCEPT, LABELS, folds)
    for template, fold in folds.items():
        kept = [i for i, label in enumerate(LABELS) if label != template]
        by_hand = means[[i for i in kept if i < 6]].mean(axis=0) - means[[i for i in kept if i >= 6]].mean(axis=0)
        assert np.allclose(fitted[fold], by_hand, atol=1e-12)


def test_templates_weigh_alike_whatever_their_number_of_prompts():
    means = made_up()
    doubled = np.concatenate([means[:1], means])
    assert np.allclose(
        mean_difference(means, IS_CONCEPT, LABELS),
        mean_difference(doubled, np.r_[True, IS_CONCEPT], ["t0", *LABELS]),
        atol=1e-12,
    )


@pytest.mark.parametrize("n_folds", [None, 3])
def test_what_a_prompt_is_steered_by_does_not_depend_on_its_own_template(n_folds):
    folds = folds_of(LABELS, n_folds)
    means, moved = made_up(), made_up()
    moved[[0, 6]] += 100.0  # both prompts of t0
    tokens = [one[None] for one in means[6:]]
    tokens_moved = [one[None] for one in moved[6:]]
    before, after = (cross_fitted(mean_difference, one, IS_CONCEPT, LABELS, folds) for one in (means, moved))
    assert np.array_equal(before[folds["t0"]], after[folds["t0"]])
    # not to the last bit: what is left out is taken away from a total that holds it, 1e4 times larger in squares
    left, right = (doses(before, one, TEMPLATES, folds)[folds["t0"]] for one in (tokens, tokens_moved))
    assert np.allclose(left, right, rtol=1e-6)


def test_a_dose_is_one_standard_deviation_of_controls_along_the_vector():
    rng = np.random.default_rng(1)
    tokens = [rng.standard_normal((4 + i, 3, 5)) * 2.0 for i in range(6)]
    folds = folds_of(LABELS)
    directions = rng.standard_normal((6, 3, 5))
    found = doses(directions, tokens, TEMPLATES, folds)
    for template, fold in folds.items():
        others = np.concatenate([one for one, label in zip(tokens, TEMPLATES, strict=True) if label != template])
        for h in range(3):
            unit = directions[fold, h] / np.linalg.norm(directions[fold, h])
            assert np.allclose(found[fold, h], (others[:, h] @ unit).std(ddof=1) * unit, atol=1e-12)


def test_leaving_nothing_out_takes_every_token():
    tokens = [one[None] for one in made_up(2)[:6]]
    direction = np.ones((1, 3, 5))
    found = doses(direction, tokens, TEMPLATES, None)[0]
    along = np.concatenate(tokens) @ (np.ones(5) / np.sqrt(5))
    assert np.allclose(np.linalg.norm(found, axis=-1), along.std(axis=0, ddof=1), atol=1e-12)


def test_a_vector_without_length_stays_without():
    assert not doses(np.zeros((6, 3, 5)), [one[None] for one in made_up()[6:]], TEMPLATES, folds_of(LABELS)).any()


def test_random_vectors_have_the_norms_of_what_they_are_compared_with_and_one_direction_for_all_folds():
    like = made_up(3, (2, 7))
    drawn = random_like(like, np.random.default_rng(0))
    assert np.allclose(np.linalg.norm(drawn, axis=-1), np.linalg.norm(like, axis=-1), atol=1e-12)
    units = drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)
    assert np.allclose(units, units[:1], atol=1e-12)


def test_one_template_is_too_few():
    with pytest.raises(ProfileError, match="without the template it is used on"):
        cross_fitted(mean_difference, made_up()[:2], np.array([True, False]), ["t0", "t0"], {"t0": 0})


def noise(rng, n_templates, shape):
    """Outputs of two classes that do not differ, along some directions much more than along others."""
    spread = np.geomspace(10.0, 0.1, shape[-1])
    z = rng.standard_normal((2 * n_templates, *shape)) * spread
    labels = [f"t{i:02d}" for i in range(n_templates)] * 2
    return z, np.arange(2 * n_templates) < n_templates, labels


@pytest.mark.parametrize("n_templates", [8, 20])  # all signs, and random ones
def test_a_vector_fitted_on_noise_holds_elsewhere_at_the_nominal_rate(n_templates):
    """Over 500 simulated profiles: of an exact test at 5 % the binomial's upper 99.9 % limit is 41 of 500."""
    rng = np.random.default_rng(7)
    p = [holds_elsewhere(template_differences(*noise(rng, n_templates, (2, 16))), rng, n_flips=199) for _ in range(500)]
    assert sum(one <= 0.05 for one in p) <= 41
    assert 0.4 < np.mean(p) < 0.6  # of a uniform p: 0.5 with a standard error of 0.013


def test_a_vector_that_is_there_holds_elsewhere():
    rng = np.random.default_rng(8)
    z, is_concept, labels = noise(rng, 20, (2, 16))
    z[is_concept, 0, 3] += 30.0
    assert holds_elsewhere(template_differences(z, is_concept, labels), rng) < 0.001


def test_all_signs_are_those_of_a_slow_enumeration():
    rng = np.random.default_rng(9)
    differences = rng.standard_normal((6, 2, 3)) + 0.3

    def statistic(signs):
        total = 0.0
        for h in range(2):
            signed = signs[:, None] * differences[:, h]
            weight = (differences[:, h] ** 2).sum()
            total += sum(signed[t] @ signed[s] for t in range(6) for s in range(6) if s != t) / weight
        return total

    values = [statistic(np.array(signs)) for signs in itertools.product((1.0, -1.0), repeat=6)]
    by_hand = np.mean([value >= values[0] - 1e-9 for value in values])
    assert holds_elsewhere(differences, rng) == by_hand


def test_swapping_all_labels_changes_nothing():
    rng = np.random.default_rng(10)
    differences = rng.standard_normal((9, 1, 4))
    assert holds_elsewhere(differences, rng) == holds_elsewhere(-differences, rng)


def test_templates_of_one_class_alone_say_nothing():
    z, is_concept, labels = noise(np.random.default_rng(11), 3, (1, 4))
    alone = [f"{label}{side}" for label, side in zip(labels, is_concept, strict=True)]
    assert np.isnan(holds_elsewhere(template_differences(z, is_concept, alone), np.random.default_rng(0)))

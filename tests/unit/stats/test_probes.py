"""A probe is scikit-learn's logistic regression of standardised features, its penalty chosen inside its own prompts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from headscope.errors import RequestError
from headscope.stats.probes import LARGEST_GRADIENT, STRENGTHS, fit_probe, folds_of

N_TEMPLATES, D = 12, 5
FITTED = LARGEST_GRADIENT * np.sqrt(D + 1) * max(STRENGTHS) * N_TEMPLATES * 4 * 10
"""Of a score: the penalty curves the mean loss by at least 1 / (C n), so weights err by at most the gradient's norm
x C n, and no prompt lies further than 10 standard deviations from the mean."""


def made_up(seed: int, *, effect: float) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Two prompts of the concept and two controls of each template; the concept shifts the first feature."""
    rng = np.random.default_rng(seed)
    templates = [f"t{t}" for t in range(N_TEMPLATES) for _ in range(4)]
    concept = np.tile([True, True, False, False], N_TEMPLATES)
    features = rng.normal(size=(len(concept), D)) * 10.0 ** np.arange(D) + 3.0
    features[:, 0] += effect * concept
    return features, concept, templates


def test_weights_are_those_of_plain_sklearn_on_scaled_features() -> None:
    features, concept, templates = made_up(1, effect=2.0)
    probe = fit_probe(features, concept, templates, seed=0)
    scaler = StandardScaler().fit(features)
    plain = LogisticRegression(C=probe.C, solver="newton-cholesky", tol=LARGEST_GRADIENT).fit(
        scaler.transform(features), concept
    )
    expected = plain.decision_function(scaler.transform(features))
    np.testing.assert_allclose(probe.scores(features), expected, atol=2 * FITTED, rtol=0)


def test_the_order_of_prompts_is_of_no_account() -> None:
    features, concept, templates = made_up(2, effect=1.0)
    order = np.random.default_rng(0).permutation(len(concept))
    one = fit_probe(features, concept, templates, seed=0)
    other = fit_probe(features[order], concept[order], [templates[i] for i in order], seed=0)
    assert one.C == other.C
    np.testing.assert_allclose(one.scores(features), other.scores(features), atol=2 * FITTED, rtol=0)


def test_noise_is_penalised_most_and_a_clear_signal_less() -> None:
    noise, signal = (fit_probe(*made_up(3, effect=effect), seed=0).C for effect in (0.0, 9.0))
    assert noise == min(STRENGTHS)
    assert signal > noise


def test_a_feature_that_does_not_vary_has_no_weight() -> None:
    features, concept, templates = made_up(4, effect=2.0)
    features[:, 3] = 0.1
    probe = fit_probe(features, concept, templates, seed=0)
    assert probe.weights[3] == 0.0
    assert probe.weights[0] > 0.0


def test_folds_keep_templates_whole_and_have_both_classes() -> None:
    rng = np.random.default_rng(5)
    templates = [f"t{t}" for t in rng.integers(0, 14, 60)] + [f"control {t}" for t in rng.integers(0, 9, 30)]
    concept = np.array([True] * 60 + [False] * 30)
    folds = folds_of(templates, concept, seed=3)
    assert set(folds) == {0, 1, 2, 3, 4}
    for label in set(templates):
        assert len({fold for fold, own in zip(folds, templates, strict=True) if own == label}) == 1
    for fold in range(5):
        assert len(set(concept[folds == fold])) == 2


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda x, y, t: (x, np.ones_like(y), t), "one class"),
        (lambda x, y, t: (x, y, ["same"] * len(t)), "one template"),
        (lambda x, y, t: (np.ones_like(x), y, t), "nothing varies"),
        (lambda x, y, t: (np.where(x == x.max(), np.nan, x), y, t), "not finite"),
        (lambda x, y, t: (x, y, t[1:]), "do not belong together"),
    ],
)
def test_what_cannot_be_fitted_is_refused(spoil, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RequestError, match=words):
        fit_probe(*spoil(*made_up(6, effect=1.0)), seed=0)

"""The report says in one sentence whether the samples were enough for what it says of texts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from headscope.report import render_evidence
from headscope.stats.sampling_noise import SampledBlock, sampling_table
from tests.unit.report.fake_tables import fake_facts, fake_tables


def noise(n_samples: int, sd_within: float, *, greedy: bool = False) -> pd.DataFrame:
    """Of three tests on eight templates that differ by 1, 2 and 3."""
    random = np.random.default_rng(0)
    between = np.linspace(-1, 1, 8)[:, None, None] * np.array([1.0, 2.0, 3.0])[None, :, None]
    changes = between + random.normal(0, sd_within, (8, 3, n_samples)) * np.array([4.0, 1e-3, 1e-3])[None, :, None]
    key = {"concept": "anger", "role": "requested", "k": 1, "edit": "mean", "scope": "all", "unit": "letters"}
    keys = [{**key, "heads": f"0:{i}", "outcome": "n_letters"} for i in range(3)]
    return sampling_table([SampledBlock(keys, changes, [f"t{i}" for i in range(8)], greedy)])


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (noise(2, 1.0), "a third of the templates' standard error in 2 of 3 effects on text"),
        (noise(1, 1.0), "is unknown with one sample of each; `--samples 2`"),
        (noise(1, 1.0, greedy=True), "Sampling moves no effect on text."),
    ],
    ids=["several", "one", "greedy"],
)
def test_the_noise_of_sampling_is_one_sentence(table: pd.DataFrame, sentence: str) -> None:
    tables, facts = fake_tables(3, 4), fake_facts(3, 4)
    told = render_evidence({**tables, "sampling": table}, facts, "en")
    assert sentence in told
    assert "`--samples" in render_evidence({**tables, "sampling": noise(1, 1.0)}, facts, "ja")
    assert "ampling" not in render_evidence(tables, facts, "en").split("Both arms write")[1].split("\n\n")[0]

"""Attention at probes: shares of what is left beside the sinks, and where next to nothing is left."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import headscope.measure.attention as attention_module
from headscope.api import screen
from headscope.measure.attention import SMALLEST_REMAINDER, Probe, read_probes
from headscope.models.loading import load_model
from headscope.models.reading import AttentionReading
from headscope.profiles.loading import load_profile
from tests.laws import oracles
from tests.laws.families import make, word_tokenizer
from tests.tolerances import pass_error

WITHOUT = "attention_without_sinks"


@pytest.mark.parametrize("family", ["llama", "gpt_oss"])  # the latter has a sink beside its tokens
def test_the_share_beside_the_sinks_is_the_quotient_of_the_eager_rows(family: str) -> None:
    model = load_model(make(family), tokenizer=word_tokenizer(), device="cpu")
    ids, keys = [1, 5, 9, 12, 7, 30, 4, 17], (0, 2, 3)
    queries = (4, 6, 7)
    found = read_probes(model, [ids], [Probe(0, queries, keys)], batch_tokens=64, pack=True)[WITHOUT][0]
    rows = oracles.attentions(make(family, attention="eager"), ids).double().numpy()  # [L, H, T, T]
    shares, error = [], 0.0
    for query in queries:
        remainder = np.delete(rows[:, :, query], [0, query], axis=-1).sum(-1)
        shares.append(np.where(remainder >= SMALLEST_REMAINDER, rows[:, :, query, [2, 3]].sum(-1) / remainder, np.nan))
        error = max(error, 2 * pass_error(model) / max(remainder.min(), SMALLEST_REMAINDER))
    assert np.isfinite(shares).any(axis=0).all()
    assert found == pytest.approx(np.nanmean(shares, axis=0), abs=error)


def test_where_next_to_nothing_is_left_a_query_has_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two queries and four heads: both leave enough, one does, the other does, neither does.

    The quotient is that of two small sums: 1 - sink - self is rounded at 6e-8, so by it a share would err by 1e-5.
    """
    model = load_model(make("gpt2"), tokenizer=word_tokenizer(), device="cpu", unchecked=True)
    enough, little = 4 * SMALLEST_REMAINDER, 0.25 * SMALLEST_REMAINDER
    left = torch.tensor([[enough, enough, little, little], [enough, little, enough, little]])
    part = torch.tensor([[0.5], [0.25]])

    def made_up(_: object, batch: object, queries: object, **__: object) -> AttentionReading:
        mass = torch.stack([left * part, 1.0 - left, torch.zeros(2, 4), left * part, left], dim=-1)
        return AttentionReading(mass.expand(3, 1, 2, 4, 5), torch.zeros(3, 1, 2, 4, 1))

    monkeypatch.setattr(attention_module, "read_attention", made_up)
    found = read_probes(model, [[1, 2, 3, 4]], [Probe(0, (2, 3), (1,))], batch_tokens=64, pack=False)
    assert found[WITHOUT][0] == pytest.approx(np.array([[0.375, 0.5, 0.25, np.nan]] * 3), nan_ok=True)
    assert np.isfinite(found["attention"]).all()


def test_the_coverage_counts_comparisons_that_leave_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """With half the attention asked for, and one query a prompt, what is left is 1 - sink - self."""
    monkeypatch.setattr(attention_module, "SMALLEST_REMAINDER", 0.5)
    result = screen(load_model("demo"), load_profile("baseline"), query="last", concepts=["gratitude"])
    values, coverage = result.values, result.tables["coverage"].set_index("concept")
    left = {end: 1.0 - values[f"sink_share{end}"] - values[f"self_share{end}"] for end in ("", "_control")}
    too_little = ((left[""] < 0.5) | (left["_control"] < 0.5)) & values["attention"].notnull()
    expected = too_little.groupby("concept").sum(...).to_series()
    assert expected.sum() > 0
    assert coverage["n_without_remainder"].to_dict() == expected.to_dict()

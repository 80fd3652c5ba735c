"""Prompts longer than a sliding window beside short ones that are packed as trees: each reads as it does alone."""

import numpy as np
import pytest

from headscope.measure.attention import Probe, read_probes, rows_of
from headscope.models.loading import load_model
from tests.laws.families import make, word_tokenizer


@pytest.mark.parametrize("family", ["mistral", "gemma2"])
def test_long_prompts_and_trees_in_one_request(family: str) -> None:
    model = load_model(make(family, sliding_window=16, max_position_embeddings=128), tokenizer=word_tokenizer())
    assert model.tree_row_limit == 16
    sequences = [[1, *(3 + i % 5 for i in range(30))], *([1, 2, 3, 4, 5 + i] for i in range(8))]
    assert {row.is_chain for row, _ in rows_of(model, sequences, pack=True)} == {True, False}
    probes = [Probe(index, (len(ids) - 1,), (2,)) for index, ids in enumerate(sequences)]
    packed, alone = (read_probes(model, sequences, probes, batch_tokens=4000, pack=pack) for pack in (True, False))
    for measure, values in alone.items():
        rounding = 1e-3 if measure == "attention_without_sinks" else 1e-5  # it divides by what is left beside the sink
        assert np.allclose(packed[measure], values, atol=rounding, equal_nan=True), measure
    assert np.isfinite(alone["attention"]).all()

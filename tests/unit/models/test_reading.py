"""What is read, where it is NaN, and how much of the model runs for it."""

from __future__ import annotations

import copy

import pytest
import torch

import headscope.models.reading as reading_module
from headscope.errors import WorkError
from headscope.models.batches import Batch
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.models.reading import AttentionReading, RowQueries, read_attention
from headscope.models.running import Stop
from tests.laws import oracles
from tests.laws.families import make, sequences, word_tokenizer
from tests.tolerances import TINY, close


def batch_and_queries(n_groups: int = 3) -> tuple[Batch, RowQueries]:
    batch = Batch.of_chains(sequences())
    generator = torch.Generator().manual_seed(1)
    tokens = torch.stack([batch.ends(), batch.ends() - 1], dim=1)
    keys = torch.rand(len(batch), 2, n_groups, batch.width, generator=generator) < 0.5
    valid = torch.tensor([[True, True], [True, False], [True, True], [False, True]])
    return batch, RowQueries(tokens, valid, keys)


def same(first: AttentionReading, second: AttentionReading) -> bool:
    return close(first.mass, second.mass, TINY) and close(first.written, second.written, TINY)


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3", "gptj", "bloom", "falcon", "falcon_40b"])
def test_written_is_the_norm_of_the_weighted_values_through_the_projection(family: str) -> None:
    """Weights from eager attentions, values from the key/value cache, one prompt at a time."""
    model = load_model(make(family), tokenizer=word_tokenizer(), device="cpu")
    batch, queries = batch_and_queries()
    written = read_attention(model, batch, queries).written
    eager = make(family, attention="eager")
    for row, ids in enumerate(sequences()):
        pattern = oracles.attentions(eager, ids)
        with torch.no_grad():
            cache = eager(input_ids=torch.tensor([ids]), use_cache=True).past_key_values
        for layer in range(len(pattern)):
            value = cache.layers[layer].values[0]
            value = value.repeat_interleave(4 // len(value), dim=0)
            weight = oracles.projection(eager, layer).weight.detach()
            matrix = weight if family == "gpt2" else weight.T
            for q, h, g in torch.cartesian_prod(torch.arange(2), torch.arange(4), torch.arange(3)).tolist():
                if not queries.valid[row, q]:
                    continue
                keys = queries.keys[row, q, g, : len(ids)]
                z = (pattern[layer, h, queries.tokens[row, q]] * keys) @ value[h]
                expected = (z @ matrix[h * value.shape[-1] : (h + 1) * value.shape[-1]]).norm()
                assert close(written[layer, row, q, h, g], expected, TINY)


def test_queries_that_are_not_valid_are_nan_and_no_others(gpt2: HeadModel) -> None:
    batch, queries = batch_and_queries()
    reading = read_attention(gpt2, batch, queries)
    for values in (reading.mass, reading.written):
        assert bool(values[:, ~queries.valid].isnan().all())
        assert bool(values[:, queries.valid].isfinite().all())


def test_written_is_taken_of_the_groups_asked_for(gpt2: HeadModel) -> None:
    whole = read_attention(gpt2, *batch_and_queries()).written
    assert whole.shape[-1] > 1
    for n in (0, 1):
        assert torch.equal(
            read_attention(gpt2, *batch_and_queries(), written_groups=n).written.nan_to_num(),
            whole[..., :n].nan_to_num(),
        )


@pytest.mark.parametrize("family", ["llama", "gptj"])
def test_chunks_of_queries_change_nothing(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(make(family), tokenizer=word_tokenizer(), device="cpu")
    whole = read_attention(model, *batch_and_queries())
    monkeypatch.setattr(reading_module, "ROWS_AT_ONCE", 1)
    assert same(read_attention(model, *batch_and_queries()), whole)


def test_a_group_without_keys_has_no_mass_and_writes_nothing(gpt2: HeadModel) -> None:
    batch, queries = batch_and_queries()
    reading = read_attention(gpt2, batch, RowQueries(queries.tokens, queries.valid, torch.zeros_like(queries.keys)))
    assert float(reading.mass[:, queries.valid].abs().max()) == 0.0
    assert float(reading.written[:, queries.valid].abs().max()) == 0.0


def test_heads_a_layer_does_not_have_are_nan(gpt2: HeadModel) -> None:
    narrow = copy.copy(gpt2)
    layers = list(gpt2.anatomy.layers)
    found = {layer: (torch.ones(1, 1, 4 - layer, 1), None) for layer in range(3)}
    queries = RowQueries(
        torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1, dtype=torch.bool), torch.ones(1, 1, 1, 2)
    )
    reading = reading_module._assemble(narrow, queries, found, 0)
    assert reading.mass.shape == (3, 1, 1, 4, 1)
    assert reading.mass.isnan().flatten(1).sum(1).tolist() == [0, 1, 2]
    assert len(layers) == 3


def test_queries_that_do_not_fit_the_batch_are_an_error(gpt2: HeadModel) -> None:
    batch, queries = batch_and_queries()
    with pytest.raises(WorkError, match="do not fit the batch"):
        read_attention(gpt2, batch, RowQueries(queries.tokens, queries.valid, queries.keys[..., :-1]))


def test_attention_that_is_nan_is_an_error_that_names_the_layer() -> None:
    model = load_model(make("llama"), tokenizer=word_tokenizer(), device="cpu")
    with torch.no_grad():
        model.anatomy.layers[1].attention.q_proj.weight.fill_(torch.nan)  # type: ignore[union-attr]
    with pytest.raises(WorkError, match="NaN or infinite") as caught:
        read_attention(model, *batch_and_queries())
    assert "layer 1" in str(caught.value)


def test_the_signal_that_ends_a_pass_is_not_an_error_of_ours() -> None:
    assert not issubclass(Stop, WorkError)

"""A family nobody has seen, registered here, is supported without new code because it routes through the interface.

Its modules bear names no list could know, its value heads are wider than its query heads, it has fewer key/value
heads, and it numbers its layers from the last one.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from headscope.models.batches import Batch
from headscope.models.editing import zero
from headscope.models.loading import load_model
from headscope.models.reading import RowQueries, read_attention
from headscope.models.running import logits_at
from tests.laws.families import VOCABULARY, sequences, widen, word_tokenizer
from tests.tolerances import close

HEADS, KV_HEADS, WIDTH, QUERY, VALUE = 6, 3, 24, 4, 10


class LanternConfig(PreTrainedConfig):
    model_type = "lantern"

    def __init__(self, n_lamps: int = 3, **kwargs: Any) -> None:
        self.n_lamps = n_lamps
        self.num_hidden_layers = n_lamps
        self.hidden_size = WIDTH
        self.vocab_size = VOCABULARY
        super().__init__(**kwargs)


def plain_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float, **_: Any
) -> tuple[Tensor, Tensor]:
    key, value = (x.repeat_interleave(HEADS // KV_HEADS, dim=1) for x in (key, value))
    weights = (query @ key.transpose(-1, -2) * scaling + mask).softmax(-1)
    return (weights @ value).transpose(1, 2), weights


class LanternAttention(nn.Module):
    def __init__(self, config: LanternConfig, number: int) -> None:
        super().__init__()
        self.config, self.layer_idx = config, number
        self.num_key_value_groups = HEADS // KV_HEADS
        self.look = nn.Linear(WIDTH, HEADS * QUERY)
        self.index = nn.Linear(WIDTH, KV_HEADS * QUERY)
        self.carry = nn.Linear(WIDTH, KV_HEADS * VALUE)
        self.throw = nn.Linear(HEADS * VALUE, WIDTH)

    def forward(self, x: Tensor, mask: Tensor | None, cache: Cache | None) -> Tensor:
        B, T, _ = x.shape
        query, key, value = (
            projected.view(B, T, heads, -1).transpose(1, 2)
            for projected, heads in ((self.look(x), HEADS), (self.index(x), KV_HEADS), (self.carry(x), KV_HEADS))
        )
        if cache is not None:
            key, value = cache.update(key, value, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, plain_attention)
        out, _ = attend(self, query, key, value, mask, scaling=0.9)
        return self.throw(out.reshape(B, T, -1))


class LanternPreTrained(PreTrainedModel):
    config_class = LanternConfig
    base_model_prefix = "lantern"
    _supports_sdpa = True

    def _init_weights(self, module: nn.Module) -> None:
        pass


class LanternModel(LanternPreTrained):
    def __init__(self, config: LanternConfig) -> None:
        super().__init__(config)
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.Embedding(64, WIDTH)
        self.lamps = nn.ModuleList([LanternAttention(config, config.n_lamps - 1 - i) for i in range(config.n_lamps)])
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.words

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        **_: Any,
    ) -> BaseModelOutputWithPast:
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1])[None]
        x = self.words(input_ids) + self.places(position_ids)
        mask = create_causal_mask(self.config, x, attention_mask, past_key_values, position_ids=position_ids)
        for lamp in self.lamps:
            x = x + lamp(torch.nn.functional.layer_norm(x, (WIDTH,)), mask, past_key_values)
        return BaseModelOutputWithPast(last_hidden_state=x, past_key_values=past_key_values)


class LanternForCausalLM(LanternPreTrained, GenerationMixin):
    def __init__(self, config: LanternConfig) -> None:
        super().__init__(config)
        self.lantern = LanternModel(config)
        self.out = nn.Linear(WIDTH, VOCABULARY)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        return self.out

    def forward(self, input_ids: Tensor, position_ids: Tensor | None = None, **kwargs: Any) -> CausalLMOutputWithPast:
        output = self.lantern(input_ids, position_ids=position_ids, **kwargs)
        logits = self.out(torch.nn.functional.layer_norm(output.last_hidden_state, (WIDTH,)))
        return CausalLMOutputWithPast(logits=logits, past_key_values=output.past_key_values)


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def lantern(request: pytest.FixtureRequest) -> PreTrainedModel:
    AutoConfig.register("lantern", LanternConfig, exist_ok=True)
    AutoModelForCausalLM.register(LanternConfig, LanternForCausalLM, exist_ok=True)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(LanternConfig(), attn_implementation=request.param)
    widen(model)
    return model.eval()


def test_it_is_understood_read_and_edited(lantern: PreTrainedModel) -> None:
    model = load_model(lantern, tokenizer=word_tokenizer(), device="cpu")
    assert model.laws.passed
    assert model.tree_row_limit is not None
    layer = model.anatomy.layers[1]
    assert (layer.name, layer.n_heads, layer.n_kv_heads, layer.head_size) == ("lantern.lamps.1", HEADS, KV_HEADS, VALUE)
    assert layer.projection is lantern.lantern.lamps[1].throw
    assert layer.routed

    batch = Batch.of_chains(sequences())
    queries = RowQueries(batch.ends()[:, None], torch.ones(4, 1, dtype=torch.bool), torch.eye(11).expand(4, 1, 11, 11))
    mass = read_attention(model, batch, queries).mass
    assert mass.shape == (3, 4, 1, HEADS, 11)
    assert close(mass.sum(-1), torch.ones(3, 4, 1, HEADS), model)

    with model.edit(zero("1:5")):
        edited = logits_at(model, batch, torch.arange(4), batch.ends())
    with torch.no_grad():
        kept = lantern.lantern.lamps[1].throw.weight.clone()
        lantern.lantern.lamps[1].throw.weight[:, 5 * VALUE :] = 0.0
        expected = logits_at(model, batch, torch.arange(4), batch.ends())
        lantern.lantern.lamps[1].throw.weight.copy_(kept)
    assert close(edited, expected, model)


def test_it_loads_from_a_folder_like_any_other(lantern: PreTrainedModel, tmp_path: Any) -> None:
    lantern.save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    assert load_model(tmp_path, device="cpu").laws.passed

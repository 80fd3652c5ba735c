"""Laws of the bundled checkpoint and its tokenizer: small, readable by anyone, the recipe's shape, lossless on text."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from headscope.profiles.loading import load_profile
from training.grammar import documents
from training.tokenizer import END_OF_TEXT, class_word_forms, train_tokenizer
from training.train import Recipe

MAX_CHECKPOINT_BYTES = 3_500_000
FILES = {
    "README.md",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "training_record.json",
}


def test_the_folder_holds_the_checkpoint_its_tokenizer_its_card_and_its_record_readable_by_all(
    demo_folder: Path,
) -> None:
    files = {path.name: path for path in demo_folder.iterdir() if path.is_file() and path.suffix != ".py"}
    assert set(files) == FILES
    for path in files.values():
        assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444, path.name
    assert sum(path.stat().st_size for path in files.values()) <= MAX_CHECKPOINT_BYTES


def test_weights_are_float16_and_finite(demo_folder: Path) -> None:
    weights = load_file(demo_folder / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float16}
    assert all(bool(weight.isfinite().all()) for weight in weights.values())


def test_it_loads_like_any_checkpoint_and_has_the_recipe_s_shape(
    demo_folder: Path, training_record: Mapping[str, Any]
) -> None:
    recipe = Recipe(**training_record["recipe"])
    model = AutoModelForCausalLM.from_pretrained(demo_folder, dtype=torch.float32)
    config = model.config
    assert (config.n_layer, config.n_head, config.n_embd) == (recipe.layers, recipe.heads, recipe.width)
    assert (config.n_positions, config.vocab_size) == (recipe.context_length, recipe.vocabulary_size)
    assert model.lm_head.weight is model.transformer.wte.weight
    assert sum(weight.numel() for weight in model.parameters()) == training_record["parameter_count"]


def test_each_class_word_is_one_token_in_every_form(demo_tokenizer: PreTrainedTokenizerFast) -> None:
    forms = class_word_forms()
    assert [form for form in forms if len(demo_tokenizer(form)["input_ids"]) != 1] == []


def test_pairs_of_the_baseline_have_equal_token_counts(demo_tokenizer: PreTrainedTokenizerFast) -> None:
    profile = load_profile("baseline")
    by_id = {prompt.id: prompt for prompt in profile.prompts}
    length = {prompt.id: len(demo_tokenizer(prompt.text)["input_ids"]) for prompt in profile.prompts}
    for concept in profile.concepts:
        pairs = [(prompt.id, by_id[prompt.pair].id) for prompt in profile.prompts_of(concept) if prompt.pair]
        assert sum(length[left] == length[right] for left, right in pairs) >= 60


def test_tokenizer_does_not_begin_texts_by_itself_and_knows_its_one_special_token(
    demo_tokenizer: PreTrainedTokenizerFast,
) -> None:
    end = demo_tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    assert demo_tokenizer.bos_token_id == demo_tokenizer.eos_token_id == end
    assert end not in demo_tokenizer("I was here.")["input_ids"]


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_any_text_comes_back_from_its_tokens(demo_tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = demo_tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert demo_tokenizer.decode(ids) == text


def test_the_longest_prompt_with_readout_leaves_room_to_write(demo_tokenizer: PreTrainedTokenizerFast) -> None:
    for name in ("baseline", "extended"):
        profile = load_profile(name)
        texts = [f"{prompt.text} {readout}" for prompt in profile.prompts for readout in profile.readouts]
        longest = max(len(ids) for ids in demo_tokenizer(texts)["input_ids"])
        assert longest <= Recipe.context_length - 64


def test_tokenizer_training_is_deterministic_and_refuses_a_vocabulary_too_small(tmp_path: Path) -> None:
    texts = [text for _, text in documents(2_000, seed=0)]
    first, second = (train_tokenizer(texts, vocabulary_size=1_400) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    first.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).get_vocab() == first.get_vocab()
    with pytest.raises(ValueError, match="class words of several tokens"):
        train_tokenizer(texts, vocabulary_size=400)

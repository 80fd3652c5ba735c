"""The bundled tasks under the tokenizers of GPT-2 and SmolLM2: pairs that differ in their places alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoTokenizer, GPT2Tokenizer

from benchmarks.smollm2 import NotAtHandError, gguf_file
from headscope.tokens import Encoder, Tokens
from tests.unit.profiles.bundled_tasks import NAMES, continuation_lengths, misaligned, place_lengths, rows_of, unstable

Encode = Callable[[str], Tokens]


@pytest.fixture(scope="module", params=["gpt2", pytest.param("smollm2", marks=pytest.mark.slow)])
def tokenizer(request: pytest.FixtureRequest) -> tuple[str, Encode]:
    if request.param == "gpt2":
        shared: Path = request.getfixturevalue("shared")
        return "gpt2", Encoder(GPT2Tokenizer.from_pretrained(shared / "tokenizers" / "gpt2"), None).encode
    try:
        file = gguf_file()
    except NotAtHandError as absent:
        pytest.skip(str(absent))
    return "smollm2", Encoder(AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name), None).encode


@pytest.mark.oracle
@pytest.mark.parametrize("name", NAMES)
def test_pairs_align_token_by_token_and_keep_their_tokens_before_an_answer(
    name: str, tokenizer: tuple[str, Encode]
) -> None:
    _, encode = tokenizer
    assert misaligned(name, encode) == []
    assert unstable(name, encode) == []


def test_the_bundled_model_splits_what_the_tasks_ask_with(project_root: Path) -> None:
    demo = AutoTokenizer.from_pretrained(project_root / "headscope" / "models" / "demo")
    for name in ("capitals", "ioi"):
        assert len(misaligned(name, Encoder(demo, None).encode)) > len(rows_of(name)) / 2


@pytest.mark.oracle
@pytest.mark.parametrize("name", NAMES)
def test_places_and_continuations_are_one_token_but_for_years_digit_by_digit(
    name: str, tokenizer: tuple[str, Encode]
) -> None:
    kind, encode = tokenizer
    expected = {2} if (kind, name) == ("smollm2", "greater_than") else {1}
    assert continuation_lengths(name, encode) == expected
    assert place_lengths(name, encode) == expected

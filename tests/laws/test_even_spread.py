"""A head whose attention is the same on every token looks at the marked words by exactly as much as an even spread."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.study import Study
from headscope.terms import EVEN_SPREAD
from headscope.verbs.screen import screen
from tests.laws.families import make, word_tokenizer
from tests.small_tasks import task_profile
from tests.tolerances import TINY

N_TEMPLATES, N_WORDS = 6, 7
MARKED = {"first": (0,), "first and third": (0, 2), "last but one": (N_WORDS - 2,), "second and fifth": (1, 4)}


@pytest.fixture(scope="module", params=["bos", "no bos"])
def uniform(request: pytest.FixtureRequest) -> HeadModel:
    """Every query vector is 0, so every score is."""
    hf: Any = make("gpt2")
    with torch.no_grad():
        for block in hf.transformer.h:
            width = block.attn.embed_dim
            block.attn.c_attn.weight[:, :width] = 0.0
            block.attn.c_attn.bias[:width] = 0.0
    return load_model(hf, tokenizer=word_tokenizer(bos=request.param == "bos"), device="cpu")


def even_rows(model: HeadModel, places: tuple[int, ...], query: str) -> Any:
    rows: list[dict[str, Any]] = []
    for t in range(N_TEMPLATES):
        words = [f"w{3 + t + N_TEMPLATES * n}" for n in range(N_WORDS + t % 2)]
        starts = np.cumsum([0, *(len(word) + 1 for word in words)])
        spans = {f"p{n}": [int(starts[n]), int(starts[n]) + len(words[n])] for n in places}
        rows.append(
            {"text": " ".join(words), "template": f"t{t}", "answers": [" w60"], "foils": [" w61"], "spans": spans}
        )
        rows[-1]["corrupted"] = {"text": " ".join([*words[:3], f"w{50 + t}", *words[4:]]), "spans": spans}
    table = screen(Study(model, task_profile(rows)), query=query).tables["screen"]
    return table[table["control"] == EVEN_SPREAD]


@pytest.mark.parametrize("places", MARKED.values(), ids=MARKED.keys())
def test_uniform_attention_is_no_attention_to_marked_words(uniform: HeadModel, places: tuple[int, ...]) -> None:
    rows = even_rows(uniform, places, "last")
    assert set(rows["measure"]) == {"attention", "attention_without_sinks"}
    if places == (0,) and uniform.bos_token_id is None:  # a marked first token is not told from a sink
        assert rows["estimate"].isna().all()
    else:
        np.testing.assert_allclose(rows["estimate"], 0.0, atol=TINY)


@pytest.mark.parametrize("query", ["after", "self"])
@pytest.mark.parametrize("places", MARKED.values(), ids=MARKED.keys())
def test_so_it_is_from_several_tokens_at_once(uniform: HeadModel, places: tuple[int, ...], query: str) -> None:
    rows = even_rows(uniform, places, query)
    rows = rows[rows["measure"] == "attention_without_sinks"]
    if query == "self" and len(places) == 1 and places[0] + (uniform.bos_token_id is not None) < 2:
        assert rows["estimate"].isna().all()  # it sees nothing but the first token and itself
    elif places == (0,) and uniform.bos_token_id is None:
        assert rows["estimate"].isna().all()
    else:
        np.testing.assert_allclose(rows["estimate"], 0.0, atol=TINY)

"""Real chat models: conversations in a template are what transformers renders, and each law of the template holds."""

from __future__ import annotations

from pathlib import Path

import pytest

import headscope as hs
from headscope.models.chat_laws import chat_laws
from headscope.models.head_model import HeadModel
from headscope.study import Study
from headscope.tokens import Encoder
from tests.unit.test_chat import CHATML
from tests.unit.test_conversations import CONVERSATION, as_transformers_renders, prompt_of
from tests.unit.verbs.test_conversations import profile_of, talking

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def check(model: HeadModel) -> None:
    laws = chat_laws(model)
    assert len(laws) == 5
    assert all(law.passed for law in laws), laws
    encoder = Encoder(model.tokenizer, model.bos_token_id, chat_template=True)
    for turns in (CONVERSATION, CONVERSATION[:3], CONVERSATION[1:2], CONVERSATION[1:3]):
        prompt = prompt_of(*turns)
        tokens = encoder.encode_prompt(prompt)
        assert tokens.text == as_transformers_renders(model.tokenizer, turns)
        assert tokens.ids[0] == model.bos_token_id
        assert tokens.ids[1] != model.bos_token_id
        for part, (_, content) in zip(prompt.parts, turns, strict=True):
            held = tokens.of_span(encoder.place_span(prompt, (part.start, part.end)))
            assert model.tokenizer.decode([tokens.ids[index] for index in held]).strip() == content
    for prefilled in (False, True):
        study = Study(model, profile_of(lambda prompt, prefilled=prefilled: talking(prompt, prefilled=prefilled)))
        table = hs.sweep(model, study.profile, heads="1:2", edits=["zero"]).table
        assert table.loc[table["outcome"] == "lexicon_logodds_nats", "estimate"].notna().all()


@pytest.mark.oracle
def test_a_small_chat_model_takes_conversations(shared: Path) -> None:
    model = hs.load_model(shared / "models" / "chat-gpt2-3M", device="cpu")
    model.tokenizer.chat_template = CHATML
    check(model)


@pytest.fixture
def smollm(project_root: Path) -> HeadModel:
    """A real chat model with the template it was trained with, where its file lies beside the benchmarks."""
    file = project_root / ".rivals" / "models" / FILE
    if not file.is_file():
        pytest.skip(f"{FILE} is not in .rivals/models")
    return hs.load_model(file, device="cpu")


@pytest.mark.slow
def test_smollm2_takes_conversations_in_its_own_template(smollm: HeadModel) -> None:
    check(smollm)
    law = {law.name: law for law in smollm.laws.laws}
    assert law["chat: one BOS, and not two"].passed

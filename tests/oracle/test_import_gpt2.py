"""Token ids of GPT-2, as EAP-IG's files hold them, are the words that stand beside them there."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import GPT2Tokenizer

from headscope.errors import ProfileError
from headscope.models.tokenizer_loading import named_tokenizer
from headscope.profiles.importing.kinds import Wanted
from headscope.vocabulary import token_text
from tests.unit.profiles.importing.files_of_tasks import imported, sheet

pytestmark = pytest.mark.oracle
HEADER = ["clean", "answers", "answers_idx", "corrupted", "corrupted_answers", "corrupted_answers_idx"]
ROWS = [
    [", gemstones and other", ["gem", "gems"], [16840, 23685],
     ", vice presidents and other", ["elected", "politicians"], [7018, 7602]],
    [", uncles and other", ["relatives", "family"], [12772, 1641],
     ", moths and other", ["insects", "insect", "bugs"], [19435, 12833, 11316]],
]  # fmt: skip


@pytest.fixture(scope="module")
def by_ids(shared: Path) -> Wanted:
    tokenizer = GPT2Tokenizer.from_pretrained(shared / "tokenizers" / "gpt2")
    return Wanted(lambda token: token_text(tokenizer, token))


def test_ids_are_the_words_beside_them(by_ids: Wanted, tmp_path: Path) -> None:
    (tmp_path / "hypernymy.csv").write_text(sheet([HEADER, *ROWS]))
    rows = imported(tmp_path / "hypernymy.csv", by_ids).rows
    assert rows == imported(tmp_path / "hypernymy.csv").rows
    assert [row["answers"] for row in rows["hypernymy"]] == [[" gem", " gems"], [" relatives", " family"]]


def test_ids_of_the_bundled_tokenizer_are_no_names_in_gpt2s(by_ids: Wanted, tmp_path: Path) -> None:
    demo = named_tokenizer("demo", trust_remote_code=False)
    ids = [demo(word, add_special_tokens=False)["input_ids"][0] for word in (" she", " he")]
    row = ["When she and he left, he gave it to", "When she and he left, she gave it to", *ids]
    (tmp_path / "ioi.csv").write_text(sheet([["clean", "corrupted", "correct_idx", "incorrect_idx"], row]))
    with pytest.raises(ProfileError, match="of another tokenizer"):
        imported(tmp_path / "ioi.csv", by_ids)

"""What a tokenizer knows: alike where it does the same, told apart where it does not; special tokens in texts."""

from __future__ import annotations

import json

import pytest
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.tokenization_python import PreTrainedTokenizer

from headscope.errors import RequestError
from headscope.vocabulary import one_token, shown_token, special_tokens, tokenizer_fingerprint, typed_special_tokens
from tests.laws.families import word_tokenizer
from tests.unit.test_chat import CHATML, tokenizer_with
from tests.unit.test_tokens import sentencepiece_like


class Slow(PreTrainedTokenizer):
    """Words by white space, in Python."""

    def __init__(self, words: tuple[str, ...], *, lower: bool = False, **settings: object) -> None:
        self.words, self.lower = dict(zip(words, range(len(words)), strict=True)), lower
        super().__init__(lower=lower, unk_token=words[0], **settings)

    @property
    def vocab_size(self) -> int:
        return len(self.words)

    def get_vocab(self) -> dict[str, int]:
        return self.words | self.get_added_vocab()

    def _tokenize(self, text: str, **_: object) -> list[str]:
        return (text.lower() if self.lower else text).split()

    def _convert_token_to_id(self, token: str) -> int:
        return self.words.get(token, 0)

    def _convert_id_to_token(self, index: int) -> str:
        return list(self.words)[index]


def changed(change) -> PreTrainedTokenizerFast:
    content = json.loads(tokenizer_with(CHATML).backend_tokenizer.to_str())
    change(content)
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)), eos_token="<|endoftext|>", bos_token="<s>"
    )


def swap(content) -> None:
    vocabulary = content["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]


def test_equal_tokenizers_are_alike_whatever_was_asked_of_them_before(tmp_path) -> None:
    one = tokenizer_with(CHATML)
    before = tokenizer_fingerprint(one)
    one.save_pretrained(tmp_path)
    assert tokenizer_fingerprint(PreTrainedTokenizerFast.from_pretrained(tmp_path)) == before
    one.backend_tokenizer.enable_truncation(3)
    one.backend_tokenizer.enable_padding(length=9)
    assert tokenizer_fingerprint(one) == before
    one.chat_template = None
    assert tokenizer_fingerprint(one) == before, "the template is a matter of its own"


@pytest.mark.parametrize(
    "change",
    [
        swap,
        lambda content: content.update(normalizer={"type": "Lowercase"}),
        lambda content: content["pre_tokenizer"].update(add_prefix_space=True),
        lambda content: content["model"].update(merges=[["a", "b"]], vocab=content["model"]["vocab"] | {"ab": 300}),
        lambda content: content["added_tokens"][0].update(lstrip=True),
    ],
    ids=[
        "two ids swapped",
        "lower case",
        "a space before",
        "a merge",
        "a special token that takes the space before it",
    ],
)
def test_another_tokenizer_file_is_another_tokenizer(change) -> None:
    same, other = changed(lambda _: None), changed(change)
    assert tokenizer_fingerprint(same) != tokenizer_fingerprint(other)


def test_slow_tokenizers_are_told_apart_by_words_settings_and_class() -> None:
    class Other(Slow):
        pass

    words = ("<unk>", "glad", "sad")
    same = [tokenizer_fingerprint(Slow(words)) for _ in range(2)]
    others = [Slow(("<unk>", "sad", "glad")), Slow(words, lower=True), Other(words), Slow(words, eos_token="</s>")]
    assert len(set(same)) == 1
    assert len({*same, *map(tokenizer_fingerprint, others)}) == 5


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("I am glad.", ()),
        ("The end.<|endoftext|> I am", ("<|endoftext|>",)),
        ("<s>I <|im_end|>", ("<s>", "<|im_end|>")),
        ("<|im_end| >", ()),
    ],
)
def test_special_tokens_typed_in_a_text_are_found(text: str, typed: tuple[str, ...]) -> None:
    assert set(typed_special_tokens(tokenizer_with(CHATML), text)) == set(typed)


def test_what_the_tokenizer_reads_as_text_is_no_special_token() -> None:
    tokenizer = tokenizer_with(CHATML)
    tokenizer.split_special_tokens = True
    assert typed_special_tokens(tokenizer, "The end.<|endoftext|>") == ()
    assert typed_special_tokens(word_tokenizer(), "w5 unheard") == (), "an unknown word was not typed as </s>"


def test_special_tokens_are_those_named_and_those_added() -> None:
    assert set(special_tokens(tokenizer_with(CHATML)).values()) == {
        "<|endoftext|>", "<s>", "<|im_start|>", "<|im_end|>", "<end_of_turn>",
    }  # fmt: skip
    assert special_tokens(word_tokenizer()) == {0: "<pad>", 1: "<s>", 2: "</s>"}


def test_one_token_is_named_by_its_piece_or_its_text() -> None:
    chat, pieces = tokenizer_with(CHATML), sentencepiece_like()
    assert shown_token(chat, one_token(chat, "<|im_end|>")).startswith("<|im_end|> (")
    assert chat.decode([one_token(chat, "\n")]) == "\n"
    assert one_token(pieces, "</s>") == 2
    assert pieces.convert_ids_to_tokens(one_token(pieces, "\n")) == "<0x0A>"
    for tokenizer, text in ((chat, "no such"), (chat, ""), (pieces, "two words"), (word_tokenizer(), "unheard")):
        with pytest.raises(RequestError, match="is not one token"):
            one_token(tokenizer, text)


def test_an_added_token_counts_as_special_where_it_is_said_to_be() -> None:
    tokenizer = word_tokenizer()
    tokenizer.add_tokens([AddedToken("<tool>", special=True), AddedToken("<plain>", special=False)])
    assert typed_special_tokens(tokenizer, "w3 <tool> <plain>") == ("<tool>",)

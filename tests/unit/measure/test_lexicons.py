"""The first token of a word is the one that the model would write there, in scripts with and without spaces."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from headscope.measure.layout import lay_out
from headscope.measure.lexicons import concept_tokens
from headscope.measure.random_lexicons import with_random_lexicons
from headscope.profiles.types import Concept, Lexicon, Profile, Prompt
from headscope.tokens import Encoder
from headscope.verbs.screen_plan import views_of

WORDS = {
    "ja": ("感謝", "うれしい", "幸せ", "計画", "意見", "準備", "今日は", "とても"),
    "zh": ("感谢", "高兴", "幸福", "计划", "意见", "准备", "今天", "我很"),
    "th": ("ขอบคุณ", "ดีใจ", "สุข", "แผน", "ความเห็น", "พร้อม", "วันนี้", "ฉัน"),
    "lo": ("ຂອບໃຈ", "ດີໃຈ", "ສຸກ", "ແຜນ", "ຄວາມເຫັນ", "ພ້ອມ", "ມື້ນີ້", "ຂ້ອຍ"),
    "km": ("អរគុណ", "រីករាយ", "សុខ", "ផែនការ", "យោបល់", "ត្រៀម", "ថ្ងៃនេះ", "ខ្ញុំ"),
    "my": ("ကျေးဇူး", "ပျော်", "သုခ", "အစီအစဉ်", "အမြင်", "အဆင်", "ဒီနေ့", "ငါ"),
    "en": (" grateful", " glad", " happy", " plan", " view", " ready", "Today", " I"),
}


def byte_level(words: tuple[str, ...]) -> PreTrainedTokenizerFast:
    """Bytes, and each of ``words`` as one token where it stands."""
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    spelled = sorted(pre_tokenizers.ByteLevel.alphabet()) + [spell.pre_tokenize_str(word)[0][0] for word in words]
    core = Tokenizer(models.BPE({letters: i for i, letters in enumerate(spelled)}, [], ignore_merges=True))
    longest_first = sorted(words, key=len, reverse=True)
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex("|".join(longest_first)), "isolated"), spell]
    )
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core)


def with_visible_spaces(words: tuple[str, ...]) -> PreTrainedTokenizerFast:
    """As sentencepiece has it: pieces, a space as "▁", one put before the text, bytes where no piece fits."""
    pieces = [("<unk>", 0.0), ("▁", -3.0), *((f"<0x{byte:02X}>", -20.0) for byte in range(256))]
    pieces += [(word.replace(" ", "▁"), -4.0) for word in words]
    core = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")


def profile_of(words: tuple[str, ...], reference: tuple[str, ...] = ()) -> Profile:
    carrying, plain = (tuple(word.strip() for word in some) for some in (words[:3], words[3:6]))
    concept = Concept("joy", Lexicon({"word": carrying}), Lexicon({"word": plain}))
    prompt = Prompt("joy-001", words[6], "joy", (0, 1))
    readouts = (words[7].strip(),)
    return Profile("p", "", "xx", "neutral", {"joy": concept}, (prompt,), readouts, reference, "", "")


@pytest.mark.parametrize("make", [byte_level, with_visible_spaces])
@pytest.mark.parametrize("language", WORDS)
def test_a_word_is_the_one_token_that_follows_without_a_space_where_its_script_has_none(language, make):
    words = WORDS[language]
    tokenizer = make(words)
    encoder, profile = Encoder(tokenizer, None), profile_of(words)
    (found,) = concept_tokens(encoder, profile, ["joy"], profile.readouts[0])
    assert not found.lexicon.dropped
    whole = {
        tokenizer(word if language == "en" else f"a{word}", add_special_tokens=False)["input_ids"][-1]
        for word in words[:3]
    }
    assert set(found.lexicon.ids) == whole
    assert {tokenizer.decode([token]).strip() for token in found.lexicon.ids} == {word.strip() for word in words[:3]}
    if language != "en":
        for word in words[:3]:
            assert len(encoder.continuation_ids(words[7], " " + word)) > 1, "with a space it is no single token"


@pytest.mark.parametrize("language", WORDS)
def test_readouts_follow_a_prompt_as_its_script_has_it(language, model):
    words = WORDS[language]
    profile = profile_of(words)
    encoder = Encoder(byte_level(words), None)
    space = " " if language == "en" else ""
    (asked,) = lay_out(model, profile.prompts, profile.readouts, {"joy-001": "t"}, encoder=encoder, pack=False)
    assert asked.sequences[0].text == words[6] + space + words[7].strip()
    assert len(asked.sequences[0]) == 2, "prompt and readout are a token each"
    (view,) = views_of(encoder, profile.prompts, profile, "readout")["joy-001"]
    assert tuple(view.ids) == asked.sequences[0].ids


def test_a_token_that_ends_within_a_character_says_no_word():
    """Of "感謝" as bytes the first token may begin thousands of characters; whatever the word list holds."""
    tokenizer = byte_level(("幸せ", "うれしい", "喜び", "計画", "意見", "準備"))
    words = ("感謝", "うれしい", "幸せ", "計画", "意見", "準備", "今日は", "とても", "喜び")
    profile = profile_of(words, reference=("感覚", "計画"))
    more = Concept("joy", Lexicon({"word": (*words[:3], "喜び")}), profile.concepts["joy"].control_lexicon)
    (found,) = concept_tokens(Encoder(tokenizer, None), replace(profile, concepts={"joy": more}), ["joy"], "とても")
    assert set(found.lexicon.kept) == {"うれしい", "幸せ", "喜び"}
    assert "within a character" in found.lexicon.dropped["感謝"]


@pytest.mark.parametrize(("lexicon", "kept"), [(("thank you", "thank"), True), (("thank you",), False)])
def test_an_entry_of_several_words_counts_by_its_first_token_unless_that_begins_words_outside(lexicon, kept):
    tokenizer = byte_level((" thank", " you", " glad", " happy", " joyful", " plan", " view", " ready"))
    words = (" glad", " happy", " joyful", " plan", " view", " ready", "Today", "I am")
    profile = profile_of(words, reference=("thank", "glad", "plan"))
    more = Lexicon({"word": (*profile.concepts["joy"].lexicon.words, *lexicon)})
    concept = Concept("joy", more, profile.concepts["joy"].control_lexicon)
    (found,) = concept_tokens(Encoder(tokenizer, None), replace(profile, concepts={"joy": concept}), ["joy"], "I am")
    thank = tokenizer(" thank", add_special_tokens=False)["input_ids"][0]
    assert ("thank you" in found.lexicon.kept) == (thank in found.lexicon.ids) == kept
    assert kept or 'begins "thank"' in found.lexicon.dropped["thank you"]


def test_random_words_of_a_script_without_spaces_are_one_token_without_one():
    more = ("ノート", "テーブル", "バナナ", "カメラ", "ホテル", "ピアノ")
    words = WORDS["ja"]
    tokenizer = byte_level((*words, *more))
    profile = profile_of(words, reference=more)
    drawn = with_random_lexicons(Encoder(tokenizer, None), profile, seed=0)
    concept = drawn.concepts["joy"]
    assert {*concept.lexicon.words, *concept.control_lexicon.words} == set(more)

"""Laws of spans, trees of prefixes, and batch plans."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from headscope.errors import ProfileError, RequestError
from headscope.profiles.types import Prompt
from headscope.tokens import PADDING_SHARE, Encoder, RowLimits, Tokens, pack_rows, padded, plan_batches, tree_row

TEXTS = ["I am so grateful for the ride.", "Sorry about that, Ann.", "Thank you — merci, 🙂 and ありがとう!"]


@pytest.fixture(scope="module")
def tokenizer():
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<bos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(TEXTS * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<bos>")


def test_a_span_is_the_tokens_that_hold_its_characters():
    tokens = Tokens((9, 1, 2, 3, 4), ((0, 0), (0, 1), (1, 4), (4, 7), (7, 13)), "I am so happy", 1)
    assert tokens.of_span((8, 13)) == (4,)
    assert tokens.of_span((0, 1)) == (1,), "the BOS at (0, 0) is in no span"
    assert tokens.of_span((4, 5)) == (), "a space alone is no span"
    assert tokens.of_span((5, 9)) == (3, 4)


@pytest.mark.parametrize("text", TEXTS)
def test_each_word_is_spelled_by_the_tokens_of_its_span(tokenizer, text):
    tokens = Encoder(tokenizer, bos_token_id=0).encode(text)
    for word in text.split():
        start = text.index(word)
        found = tokens.of_span((start, start + len(word)))
        assert tokenizer.decode([tokens.ids[i] for i in found]).strip() == word


def test_the_bos_is_prepended_once_and_only_where_asked(tokenizer):
    plain = Encoder(tokenizer, bos_token_id=None).encode(TEXTS[0])
    with_bos = Encoder(tokenizer, bos_token_id=0).encode(TEXTS[0])
    assert with_bos.ids == (0, *plain.ids)
    assert (plain.n_bos, with_bos.n_bos) == (0, 1)
    assert with_bos.offsets[1:] == plain.offsets


@pytest.mark.parametrize("text", TEXTS)
def test_offsets_from_decoding_agree_with_the_fast_tokenizers_own(tokenizer, text):
    class WithoutOffsets:
        is_fast = False

        def __call__(self, text, add_special_tokens):
            return tokenizer(text, add_special_tokens=add_special_tokens)

        def decode(self, ids, clean_up_tokenization_spaces):
            return tokenizer.decode(ids, clean_up_tokenization_spaces=clean_up_tokenization_spaces)

    slow = Encoder(WithoutOffsets(), None).encode(text)
    fast = Encoder(tokenizer, None).encode(text)
    assert slow.ids == fast.ids
    for word in text.split():
        span = (text.index(word), text.index(word) + len(word))
        spelled = {
            tokenizer.decode([encoded.ids[i] for i in encoded.of_span(span)]).strip() for encoded in (slow, fast)
        }
        assert spelled == {word}


def sentencepiece_like(*, adds_eos=False):
    """Pieces that begin with a visible space, one of them put before the text, and bytes where a piece is missing."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += ["▁", "▁I", "▁am", "▁so", "▁grate", "ful", "▁for", "▁the", "▁ride", "."]
    core = Tokenizer(
        models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], unk_id=0, byte_fallback=True)
    )
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    if adds_eos:
        ends = [("<s>", 1), ("</s>", 2)]
        core.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.mark.parametrize("adds_eos", [False, True])
def test_spans_survive_visible_spaces_bytes_and_a_tokenizer_that_adds_eos(adds_eos):
    tokenizer = sentencepiece_like(adds_eos=adds_eos)
    text = "I am so grateful 🙂 for the ride."
    tokens = Encoder(tokenizer, tokenizer.bos_token_id).encode(text)
    assert tokens.ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.eos_token_id not in tokens.ids
    for word, pieces in (("grateful", ["▁grate", "ful"]), ("ride", ["▁ride"]), ("I", ["▁I"])):
        start = text.index(word)
        held = tokens.of_span((start, start + len(word)))
        assert tokenizer.convert_ids_to_tokens([tokens.ids[i] for i in held]) == pieces
    smile = tokens.of_span((text.index("🙂"), text.index("🙂") + 1))
    assert [tokenizer.convert_ids_to_tokens(tokens.ids[i]) for i in smile][-4:] == [
        f"<0x{byte:02X}>" for byte in "🙂".encode()
    ]


def test_a_prompt_longer_than_the_context_is_named(tokenizer):
    with pytest.raises(ProfileError, match=r"prompt gratitude-003 is longer than the model's context"):
        Encoder(tokenizer, 0, context_length=3).encode(TEXTS[0], name="prompt gratitude-003")
    with pytest.raises(ProfileError, match="holds no token"):
        Encoder(tokenizer, None).encode("")


def test_a_tokenizer_without_a_chat_template_is_named(tokenizer):
    with pytest.raises(RequestError, match="has no chat template"):
        Encoder(tokenizer, None, chat_template=True).encode("Thank you.")


def test_a_chat_template_moves_the_span_along(tokenizer):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, bos_token="<bos>")
    tokenizer.chat_template = "{% for m in messages %}User: {{ m.content }}\n{% endfor %}Bot:"
    encoder = Encoder(tokenizer, None, chat_template=True)
    text, span = TEXTS[0], (8, 16)
    tokens = encoder.encode(text, " Yes")
    start, end = encoder.place_span(Prompt("a", text, "joy"), span)
    assert tokens.text == f"User: {text}\nBot: Yes"
    assert tokens.text[start:end] == "grateful"


def test_a_word_that_continues_a_context_is_the_ids_it_adds(tokenizer):
    encoder = Encoder(tokenizer, 0)
    ids = encoder.continuation_ids("I am so", " grateful")
    assert tokenizer.decode(list(ids)) == " grateful"
    assert (*encoder.encode("I am so").ids, *ids) == encoder.encode("I am so grateful").ids


sequences = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8), min_size=1, max_size=12)


@given(sequences)
def test_a_tree_spells_every_sequence_and_holds_every_prefix_once(chosen):
    row = tree_row(chosen)
    for sequence, path in zip(chosen, row.paths, strict=True):
        assert row.ids[path].tolist() == sequence
        assert row.positions[path].tolist() == list(range(len(sequence)))
    assert len(row) == len({tuple(sequence[: end + 1]) for sequence in chosen for end in range(len(sequence))})
    assert row.n_sequences_through().sum() == sum(map(len, chosen))


@given(sequences)
def test_a_token_of_a_tree_sees_its_own_prefix_and_nothing_else(chosen):
    row = tree_row(chosen)
    allowed = row.ancestry()
    for path in row.paths:
        for depth, index in enumerate(path):
            assert set(np.flatnonzero(allowed[index])) == set(path[: depth + 1])


def test_one_sequence_is_a_chain():
    assert tree_row([[5, 6, 7]]).is_chain
    assert not tree_row([[5, 6], [5, 7]]).is_chain
    assert np.array_equal(tree_row([[5, 6, 7]]).ancestry(), np.tri(3, dtype=bool))


@given(sequences, st.integers(1, 20))
def test_packing_puts_every_sequence_in_one_row_within_the_budget(chosen, row_tokens):
    rows = pack_rows(chosen, row_tokens)
    assert sorted(index for _, group in rows for index in group) == list(range(len(chosen)))
    for row, group in rows:
        assert len(row) <= max(row_tokens, max(len(chosen[index]) for index in group))
        assert [row.ids[path].tolist() for path in row.paths] == [chosen[index] for index in group]


@given(
    st.lists(st.integers(1, 50), max_size=40),
    st.integers(1, 200),
    st.builds(RowLimits, st.none() | st.integers(1, 60), st.none() | st.integers(1, 60)),
    st.integers(1, 9),
)
def test_a_batch_plan_holds_every_row_once_within_the_budget(lengths, budget, limits, most_rows):
    plan = plan_batches(lengths, budget, limits, most_rows=most_rows)
    assert sorted(index for batch in plan for index in batch) == list(range(len(lengths)))
    for batch in plan:
        within = [lengths[index] for index in batch]
        assert len(batch) == 1 or len(batch) * max(within) <= budget
        assert len(batch) * max(within) - sum(within) <= budget * PADDING_SHARE
        assert len(batch) <= most_rows
        assert limits.tree is None or max(within) <= limits.tree or min(within) > limits.tree, "long chains apart"
        assert limits.mixed is None or max(within) <= limits.mixed or min(within) == max(within), "beyond: one length"


def test_padding_goes_where_it_is_asked():
    rows = [np.array([1, 2]), np.array([3])]
    assert padded(rows, 0).tolist() == [[1, 2], [3, 0]]
    assert padded(rows, 0, left=True).tolist() == [[1, 2], [0, 3]]


def test_a_batch_is_closed_only_where_it_must_be():
    assert plan_batches([5] * 7, 15) == [[0, 1, 2], [3, 4, 5], [6]]
    assert plan_batches([32, 31, 30, 1], 160) == [[0, 1, 2], [3]], "padding"
    assert plan_batches([32, 31], 160, RowLimits(tree=31)) == [[0], [1]], "a window"
    assert plan_batches([32, 32, 31, 9, 8], 160, RowLimits(mixed=12)) == [[0, 1], [2], [3, 4]], "positions"
    assert plan_batches([32, 32, 31], 160, RowLimits(mixed=12), in_a_row=[8, 16, 9]) == [[1], [0, 2]], "several a row"
    assert plan_batches([5] * 4, 100, most_rows=3) == [[0, 1, 2], [3]]

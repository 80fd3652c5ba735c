"""The demo model's tokenizer: GPT-2's kind (byte-level BPE), learned from the corpus.

1. Bytes are the alphabet, so any text can be written down and read back.
2. Merges are learned from documents plus a list of the forms of every class word (after a space, capitalized),
   repeated, so that each is one token: a prompt and its control then have equally many.
3. One special token, ``<|endoftext|>``, begins and ends every document. As with GPT-2 the tokenizer does not add it by
   itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from training.words import CLASSES, OPENING_WORDS, STEM_WORDS

END_OF_TEXT = "<|endoftext|>"
VOCABULARY_SIZE = 1792
_WORD_REPEATS = 400


def class_words() -> list[str]:
    """Every word that may stand in a class slot, once, sorted."""
    words: set[str] = set()
    for label in CLASSES:
        for kinds in (STEM_WORDS[label], OPENING_WORDS[label]):
            words.update(word for group in kinds.values() for word in group)
    return sorted(words)


def class_word_forms() -> list[str]:
    """The forms of the class words that are one token each: inside a sentence, and capitalized where one begins."""
    return [form for word in class_words() for form in (f" {word}", word.capitalize(), f" {word.capitalize()}")]


def train_tokenizer(texts: Iterable[str], *, vocabulary_size: int = VOCABULARY_SIZE) -> PreTrainedTokenizerFast:
    """Learn the merges from ``texts`` (documents without special tokens).

    Raises:
        ValueError: a class word is not one token, so the vocabulary is too small for the corpus.
    """
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=vocabulary_size,
        initial_alphabet=sorted(ByteLevel.alphabet()),
        special_tokens=[END_OF_TEXT],
        show_progress=False,
    )
    forms = class_word_forms()

    def lines() -> Iterator[str]:
        yield from texts
        for form in forms:
            yield from [form] * _WORD_REPEATS

    tokenizer.train_from_iterator(lines(), trainer)
    split = [form for form in forms if len(tokenizer.encode(form).ids) != 1]
    if split:
        raise ValueError(f"class words of several tokens: {split}; enlarge the vocabulary ({vocabulary_size})")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
        model_max_length=192,
    )

"""Lexicons of random words, for the negative control: what does the whole line find where there is nothing to find?

1. Candidates are the whole words among the model's tokens: small letters, three or more, in the reference word list,
   and one token after every readout. Words that share their first four letters with a word of any lexicon, control
   lexicon or span of the profile are left out, because they may carry a concept.
2. Each concept gets as many random words, and as many random control words, as it has of its own, drawn without
   replacement from a stream of the seed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import replace

from headscope.errors import ProfileError
from headscope.measure.lexicons import reference_words
from headscope.profiles.types import Concept, Lexicon, Profile
from headscope.profiles.words import folded_words
from headscope.random_streams import generator
from headscope.tokens import Encoder

_FEWEST_LETTERS = 3
_STEM = 4


def with_random_lexicons(encoder: Encoder, profile: Profile, *, seed: int) -> Profile:
    """The profile with the same prompts and readouts, and random words in place of every lexicon.

    Raises:
        ProfileError: the tokenizer has too few whole words that the reference word list knows.
    """
    sizes = {
        name: (len(concept.lexicon.words), len(concept.control_lexicon.words))
        for name, concept in profile.concepts.items()
    }
    needed = sum(map(sum, sizes.values()))
    words = [word for word, _ in zip(_candidates(encoder, profile, seed), range(needed), strict=False)]
    if len(words) < needed:
        raise ProfileError(
            "there are too few words to draw a negative control from",
            expected=f"{needed} whole-word tokens that the reference word list knows, as many as the lexicons hold",
            got=f"{len(words)}",
            fix="give the profile reference_words, or leave out the negative control",
        )
    drawn = iter(words)
    concepts: dict[str, Concept] = {}
    for name, both in sizes.items():
        lexicon, control = (Lexicon({"random": tuple(next(drawn) for _ in range(size))}) for size in both)
        concepts[name] = Concept(name, lexicon, control)
    return replace(profile, concepts=concepts)


def _candidates(encoder: Encoder, profile: Profile, seed: int) -> Iterator[str]:
    """Words that may be drawn, in random order."""
    known = set(reference_words(profile))
    carrying = {word[:_STEM] for word in _words_of(profile)}
    contexts = profile.readouts or (profile.prompts[0].text,)
    decode = encoder.tokenizer.decode
    tokens = {decode([token], clean_up_tokenization_spaces=False).strip() for token in range(len(encoder.tokenizer))}
    whole = sorted(
        word
        for word in tokens & known
        if _is_word(word) and len(word) >= _FEWEST_LETTERS and word[:_STEM] not in carrying
    )
    for index in generator(seed, "negative_control").permutation(len(whole)):
        word = whole[index]
        if all(len(encoder.continuation_ids(at, encoder.space_before(word, at) + word)) == 1 for at in contexts):
            yield word


def _is_word(text: str) -> bool:
    """Whether ``text`` is letters and their marks alone."""
    return text[:1].isalpha() and all(c.isalpha() or unicodedata.category(c).startswith("M") for c in text)


def _words_of(profile: Profile) -> Iterator[str]:
    for concept in profile.concepts.values():
        for word in (*concept.lexicon.words, *concept.control_lexicon.words):
            yield from folded_words(word)
    for prompt in profile.prompts:
        yield from folded_words(prompt.span_text or "")

"""Random words of the negative control: as many as the lexicons hold, each once, none that may carry a concept."""

from collections import Counter
from dataclasses import replace

import pytest

from headscope.errors import ProfileError
from headscope.measure.layout import encoder_of
from headscope.measure.lexicons import concept_tokens
from headscope.measure.random_lexicons import with_random_lexicons
from headscope.profiles.loading import load_profile


@pytest.fixture(scope="module")
def profile():
    return load_profile("baseline")


@pytest.fixture(scope="module")
def encoder(model):
    return encoder_of(model)


def lexicons_of(profile):
    return [one for concept in profile.concepts.values() for one in (concept.lexicon, concept.control_lexicon)]


def words_of(profile):
    return [word for one in lexicons_of(profile) for word in one.words]


def test_every_lexicon_is_replaced_by_as_many_words_and_nothing_else_changes(encoder, profile):
    drawn = with_random_lexicons(encoder, profile, seed=0)
    assert [len(one.words) for one in lexicons_of(drawn)] == [len(one.words) for one in lexicons_of(profile)]
    assert set(Counter(words_of(drawn)).values()) == {1}
    assert replace(drawn, concepts=profile.concepts) == profile


def test_no_word_may_carry_a_concept(encoder, profile):
    stems = {word[:4].casefold() for word in words_of(profile)}
    stems |= {word[:4].casefold() for prompt in profile.prompts for word in (prompt.span_text or "").split()}
    for seed in range(5):
        assert not {word[:4] for word in words_of(with_random_lexicons(encoder, profile, seed=seed))} & stems


def test_every_word_is_one_token_after_every_readout(encoder, profile):
    drawn = with_random_lexicons(encoder, profile, seed=0)
    for readout in profile.readouts:
        for one in concept_tokens(encoder, drawn, tuple(drawn.concepts), readout):
            for tokens in (one.lexicon, one.control):
                assert not tokens.dropped
                assert len(tokens.ids) == len(tokens.kept)


def test_the_seed_alone_draws(encoder, profile):
    first, again, other = (with_random_lexicons(encoder, profile, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert len(set(words_of(first)) & set(words_of(other))) < len(words_of(first)) / 2


def test_too_few_words_are_refused(encoder, profile):
    few = replace(profile, reference_words=("garden", "table"))
    with pytest.raises(ProfileError, match=r"too few words to draw a negative control[\s\S]*72 whole-word[\s\S]*2\n"):
        with_random_lexicons(encoder, few, seed=0)

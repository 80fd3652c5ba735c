"""From a concept's words to the tokens that can begin them, and the log-odds of the next token being one of them.

A word counts where it is one token, or where its first token begins no word outside the lexicon in a reference word
list; it is then certain that the token says this word. An entry of several words is treated alike. The position decides
the form: after a readout or a word the next word has a leading space, where its script has spaces, and small letters as
given; at the end of a sentence it may also begin with a capital.
P(lexicon) is the sum over the *set* of tokens, so two words with one first token are not counted twice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, takewhile

from jaxtyping import Float, Int
from torch import Tensor

from headscope.errors import ProfileError
from headscope.profiles.types import Concept, Lexicon, Profile
from headscope.tokens import Encoder

FEWEST_TOKENS = 3
_SENTENCE_END = (".", "!", "?", "。", "！", "？", '"', "”")


@dataclass(frozen=True)
class LexiconTokens:
    """The tokens of one lexicon at one place.

    Attributes:
        ids: distinct token ids, sorted.
        kept: word -> its token id.
        dropped: word -> why it does not count.
    """

    ids: tuple[int, ...]
    kept: Mapping[str, int]
    dropped: Mapping[str, str]


@dataclass(frozen=True)
class ConceptTokens:
    """A concept's lexicon and its control lexicon at one place, and the words they share with other concepts."""

    concept: str
    lexicon: LexiconTokens
    control: LexiconTokens
    shared: Mapping[str, str]

    def record(self) -> dict[str, object]:
        """JSON-able facts for the manifest."""
        return {
            "words": sorted(self.lexicon.kept),
            "dropped": dict(sorted(self.lexicon.dropped.items())),
            "control_words": sorted(self.control.kept),
            "control_dropped": dict(sorted(self.control.dropped.items())),
            "shared_with_other_concepts": dict(sorted(self.shared.items())),
        }


def concept_tokens(encoder: Encoder, profile: Profile, concepts: Sequence[str], context: str) -> list[ConceptTokens]:
    """The tokens of several concepts' lexicons for the next word after ``context``.

    ``context``: text before the word, a readout or the end of a prompt.

    Raises:
        ProfileError: fewer than three tokens of a lexicon are left, or all of them are another concept's too.
    """
    reference = _reference(profile)
    found: list[ConceptTokens] = []
    for name in concepts:
        concept = profile.concepts[name]
        lexicon = _tokens_of(encoder, concept.lexicon, context, reference)
        control = _tokens_of(encoder, concept.control_lexicon, context, reference)
        both = set(lexicon.ids) & set(control.ids)
        found.append(ConceptTokens(name, _without(lexicon, both), _without(control, both), {}))
    found = [_with_shared(one, found) for one in found]
    for one in found:
        _check_size(one, context, profile.concepts[one.concept])
    _check_distinct(found)
    return found


def log_odds(
    logits: Float[Tensor, "places tokens"], words: Int[Tensor, " words"], controls: Int[Tensor, " controls"]
) -> Float[Tensor, " places"]:
    """[N] log P(lexicon) - log P(control lexicon), in nats, of next-token logits.

    ``words`` and ``controls`` are the columns of the lexicons' tokens. The softmax's normalizer cancels, so this is a
    difference of two log-sum-exps, and no other token's logit is needed.
    """
    return logits[:, words].double().logsumexp(-1) - logits[:, controls].double().logsumexp(-1)


def _tokens_of(encoder: Encoder, lexicon: Lexicon, context: str, reference: _Reference) -> LexiconTokens:
    kept: dict[str, int] = {}
    dropped: dict[str, str] = {}
    own = {word.casefold() for word in lexicon.words}
    for word in lexicon.words:
        reasons: list[str] = []
        forms = _forms(encoder, word, context)
        for form in forms:
            ids = encoder.continuation_ids(context, form)
            reason = _why_not(encoder, context, ids, own, reference)
            if reason is None:
                kept[form.strip()] = ids[0]
            else:
                reasons.append(reason)
        if reasons and not any(form.strip() in kept for form in forms):
            dropped[word] = reasons[0]
    return LexiconTokens(tuple(sorted(set(kept.values()))), kept, dropped)


def _forms(encoder: Encoder, word: str, context: str) -> list[str]:
    """The word as it can stand after ``context``: with a leading space where one is due, capital after a sentence."""
    end, space = context.rstrip(), encoder.space_before(word, context)
    forms = [space + word]
    if not end or end.endswith(_SENTENCE_END):
        forms.append(space + word[:1].upper() + word[1:])
    return list(dict.fromkeys(forms))


def _why_not(encoder: Encoder, context: str, ids: tuple[int, ...], own: set[str], reference: _Reference) -> str | None:
    if not ids:
        return "the tokenizer merges it into the text before it"
    if len(ids) == 1:
        return None
    if not reference.words:
        return f"{len(ids)} tokens, and there is no reference word list for this language"
    start = encoder.tokenizer.decode([ids[0]], clean_up_tokenization_spaces=False).strip().casefold()
    if "\N{REPLACEMENT CHARACTER}" in start:
        return "its first token ends within a character, so it begins other words too"
    for other in reference.starting_with(start) if start else ():
        if other in own:
            continue
        if encoder.continuation_ids(context, encoder.space_before(other, context) + other)[:1] == ids[:1]:
            return f'its first token also begins "{other}"'
    return None if start else "its first token is only a space"


def reference_words(profile: Profile) -> tuple[str, ...]:
    """The words of the profile's language, small letters, sorted; empty where no list of them is known."""
    return _reference(profile).words


@dataclass(frozen=True)
class _Reference:
    """Words that a first token might begin."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, words: Iterable[str]) -> _Reference:
        return cls(tuple(sorted({word.casefold() for word in words})))

    def starting_with(self, start: str) -> Iterable[str]:
        first = bisect_left(self.words, start)
        return takewhile(lambda word: word.startswith(start), islice(self.words, first, None))


def _reference(profile: Profile) -> _Reference:
    if profile.reference_words:
        return _Reference.of(profile.reference_words)
    return _bundled_reference(profile.language)


@cache
def _bundled_reference(language: str) -> _Reference:
    """The frequency list of pyspellchecker for a language; empty where it has none, so only whole tokens count."""
    from spellchecker import SpellChecker  # half a second, needed only for words of several tokens

    if language not in SpellChecker.languages():
        return _Reference(())
    return _Reference.of(SpellChecker(language=language).word_frequency.words())


def _without(tokens: LexiconTokens, ids: set[int]) -> LexiconTokens:
    if not ids:
        return tokens
    kept = {word: token for word, token in tokens.kept.items() if token not in ids}
    dropped = dict(tokens.dropped) | {
        word: "its token is also in the opposite lexicon" for word, token in tokens.kept.items() if token in ids
    }
    return LexiconTokens(tuple(sorted(set(kept.values()))), kept, dropped)


def _with_shared(one: ConceptTokens, all_of_them: Sequence[ConceptTokens]) -> ConceptTokens:
    shared = {
        word: other.concept
        for other in all_of_them
        if other.concept != one.concept
        for word, token in one.lexicon.kept.items()
        if token in other.lexicon.ids
    }
    return ConceptTokens(one.concept, one.lexicon, one.control, shared)


def _check_size(tokens: ConceptTokens, context: str, concept: Concept) -> None:
    for what, found, words in (
        ("lexicon", tokens.lexicon, concept.lexicon.words),
        ("control lexicon", tokens.control, concept.control_lexicon.words),
    ):
        if len(found.ids) < FEWEST_TOKENS:
            reasons = "; ".join(f"{word}: {reason}" for word, reason in found.dropped.items())
            raise ProfileError(
                f'the {what} of "{tokens.concept}" has too few words that this tokenizer can tell by one token',
                expected=f"at least {FEWEST_TOKENS} distinct tokens after {context[-40:]!r}",
                got=f"{len(found.ids)} of {len(words)} words ({reasons})",
                fix="add words that are one token for this model",
            )


def _check_distinct(found: Sequence[ConceptTokens]) -> None:
    for one in found:
        for other in found:
            if one is not other and set(one.lexicon.ids) <= set(other.lexicon.ids):
                raise ProfileError(
                    f'every token of the lexicon of "{one.concept}" is also in that of "{other.concept}"',
                    expected="lexicons that this tokenizer can tell apart",
                    got=", ".join(sorted(one.lexicon.kept)),
                    fix=f'add words that carry "{one.concept}" alone, or drop one of the two concepts',
                )

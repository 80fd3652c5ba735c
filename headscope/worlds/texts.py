"""What the worlds are asked: a word-level tokenizer and a profile, both made in memory.

Every text cycles through four classes of words, noun, verb, adjective, particle, so a head can know which class comes
next. 32 templates: eight frames, four names each, and each name stands in one template only, so that whatever a model
ties to names differs between templates. A frame has one slot for an adjective: a concept's word, or a neutral one.
Slot words are balanced over templates and over each other: a property of words that has mean 0 over the words of a
class has mean 0 over the templates.
"""

from __future__ import annotations

from functools import cache

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from headscope.profiles.assembling import Draft, assemble
from headscope.profiles.formats import RawPrompt
from headscope.profiles.schema import PromptRow
from headscope.profiles.types import Lexicon, Profile

BOS, PADDING, UNKNOWN = "<bos>", "<pad>", "<unk>"
CONTROL = "neutral"
SLOT_WORDS: dict[str, tuple[str, ...]] = {
    "gratitude": ("grateful", "thankful", "indebted", "appreciative"),
    "anger": ("angry", "furious", "annoyed", "mad"),
    CONTROL: ("tall", "young", "blond", "local"),
}
CONCEPTS = tuple(name for name in SLOT_WORDS if name != CONTROL)
CONTROL_LEXICON = ("busy", "hungry", "sleepy", "ready")
READOUTS = ("and people are", "because everyone feels", "so nobody seems")

NAMES = (
    *("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Henry", "Iris", "Jonas", "Karin", "Leo", "Maria", "Noah"),
    *("Olga", "Paul", "Rosa", "Simon", "Tina", "Uwe", "Vera", "Walter", "Xenia", "Yusuf", "Zoe", "Aiko", "Boris"),
    *("Dora", "Erik", "Hana", "Ivan", "Lena", "Kofi"),
)
FRAMES = (
    "{name} felt {slot} because work went slow",
    "today {name} looked {slot} although lunch was late",
    "people stayed quiet when {name} seemed {slot} while rain came early",
    "{name} sounded {slot} since trains ran full",
    "yesterday {name} stood {slot} after doors swung open",
    "streets lay empty and {name} felt {slot} before guests turned loud",
    "{name} appeared {slot} while soup was warm",
    "then {name} looked {slot} although shops stayed shut",
)
N_TEMPLATES = len(NAMES)
COPIED = NAMES[:16]
"""Names that a head can copy: each has a direction of its own, and one that says it."""

WORD_CLASSES = 4
_NOUN, _VERB, _ADJECTIVE, _PARTICLE = range(WORD_CLASSES)


@cache
def word_classes() -> dict[str, int]:
    """Every word of the worlds and its class; the class after k in any text is (k + 1) % 4.

    Classes follow from the texts: a name is a noun, an adjective fills the slot, and the rest from their neighbors.
    """
    classes = dict.fromkeys(NAMES, _NOUN) | dict.fromkeys(CONTROL_LEXICON, _ADJECTIVE)
    classes |= {word: _ADJECTIVE for words in SLOT_WORDS.values() for word in words}
    for frame in FRAMES:
        words = frame.split()
        start = _ADJECTIVE - words.index("{slot}")
        classes |= {word: (start + i) % WORD_CLASSES for i, word in enumerate(words) if not word.startswith("{")}
    for readout in READOUTS:
        classes |= dict(zip(readout.split(), (_PARTICLE, _NOUN, _VERB), strict=True))
    return classes


@cache
def vocabulary() -> dict[str, int]:
    """Token -> id: special tokens first, then words in a fixed order."""
    return {token: index for index, token in enumerate((PADDING, BOS, UNKNOWN, *word_classes()))}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with one token a word, split at spaces, with a BOS."""
    inner = Tokenizer(models.WordLevel(vocabulary(), unk_token=UNKNOWN))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=BOS, eos_token=BOS, pad_token=PADDING, unk_token=UNKNOWN
    )


def slot_word(concept: str, template: int) -> str:
    """The word in the slot of one template; each concept word meets each neutral word in two templates."""
    round_of, words = template // len(FRAMES), SLOT_WORDS[concept]
    turn = {"gratitude": round_of, "anger": template + round_of, CONTROL: template + 2 * round_of}[concept]
    return words[turn % len(words)]


@cache
def make_profile() -> Profile:
    """The profile of all worlds: 32 templates, one prompt of each class in each, equal pairs."""
    prompts: list[tuple[str, RawPrompt]] = []
    for concept in SLOT_WORDS:
        for template, name in enumerate(NAMES):
            frame, word = FRAMES[template % len(FRAMES)].replace("{name}", name), slot_word(concept, template)
            start = frame.index("{slot}")
            row = PromptRow(
                text=frame.replace("{slot}", word),
                id=f"{concept}-{template:03d}",
                span=[start, start + len(word)],
                template=f"t{template:02d}",
                pair=None if concept == CONTROL else f"{CONTROL}-{template:03d}",
            )
            prompts.append((concept, RawPrompt(row, f"world, {concept} {template}")))
    draft = Draft(
        name="worlds",
        source="made in memory",
        description="Two concepts against neutral words, for models set by hand.",
        lexicons={name: Lexicon({"adjective": SLOT_WORDS[name]}) for name in CONCEPTS},
        control_lexicons=dict.fromkeys(CONCEPTS, Lexicon({"adjective": CONTROL_LEXICON})),
        control=CONTROL,
        prompts=prompts,
        readouts=READOUTS,
    )
    return assemble(draft, None, strict=False)

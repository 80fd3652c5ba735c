"""The worlds: which heads are planted where, and what is to be found of them.

In each world the model shows both concepts (but in ``noise``), five more heads are noise, and the rest does nothing.
Places and sizes differ between worlds. What is planted is written down as verdicts, effects and whether a head attends
to the concept, for each head and concept; ``checking`` compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from headscope.heads import Head, every_head
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.random_streams import generator
from headscope.stats import verdicts as v
from headscope.worlds import designs
from headscope.worlds.hand_set import N_HEADS, N_LAYERS, WORD_STRENGTHS, HeadDesign, make_model
from headscope.worlds.texts import (
    CONCEPTS,
    FRAMES,
    N_TEMPLATES,
    READOUTS,
    SLOT_WORDS,
    make_tokenizer,
    slot_word,
)

HEADS = every_head((N_HEADS,) * N_LAYERS)
N_NOISE_HEADS = 5
NOISE_NATS = 0.1
_GRATITUDE, _ANGER = CONCEPTS


@dataclass(frozen=True)
class Planted:
    """One head or set, and what is to be found of it.

    Attributes:
        heads: e.g. ``1:2``, or ``1:1,2:2`` for a set.
        part: what it is, in words.
        verdicts: concept -> verdict.
        effect_nats: concept -> change of the primary outcome when it is off, mean over templates; 0 where left out.
        attends: concepts to which the screen must find it attending.
        reads: concept -> the region (``terms.REGIONS``) that holds most of its attention at the readouts.
    """

    heads: str
    part: str
    verdicts: Mapping[str, str]
    effect_nats: Mapping[str, float] = field(default_factory=dict[str, float])
    attends: frozenset[str] = frozenset()
    reads: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class World:
    """A model whose heads are known.

    Attributes:
        question: what the world asks of the measurement, in one sentence.
        designs: head -> design; heads left out do nothing.
        planted: what is to be found.
        others: verdict on every other head.
        shown: whether the model shows the concepts at all.
    """

    name: str
    question: str
    designs: Mapping[Head, HeadDesign]
    planted: tuple[Planted, ...]
    others: str = v.NO_EFFECT
    shown: bool = True

    def load(self) -> HeadModel:
        """The model, loaded and proved like any other."""
        return load_model(make_model(self.name, self.designs), tokenizer=make_tokenizer(), device="cpu")

    @property
    def sets(self) -> tuple[str, ...]:
        """The planted sets of more than one head."""
        return tuple(planted.heads for planted in self.planted if "," in planted.heads)

    def strongest(self, concept: str) -> str | None:
        """The single head whose loss changes the concept most; None where there is none, or several are equal."""
        alone = {p.heads: abs(p.effect_nats.get(concept, 0.0)) for p in self.planted if "," not in p.heads}
        most = max(alone.values(), default=0.0)
        best = [heads for heads, size in alone.items() if size == most > 0.0]
        return best[0] if len(best) == 1 else None


@cache
def worlds() -> tuple[World, ...]:
    """Every world, in the order of the check."""
    return (_writer(), _diffuse(), _elsewhere(), _redundant(), _position(), _suppressor(), _damage(), _noise())


def attention_to_one_of_all(concept: str) -> float:
    """Mean over templates and readouts of strength / number of tokens: what uniform attention finds of a concept."""
    shares = [
        WORD_STRENGTHS[SLOT_WORDS[concept].index(slot_word(concept, t))]
        / (1 + len(FRAMES[t % len(FRAMES)].split()) + len(readout.split()))
        for t in range(N_TEMPLATES)
        for readout in READOUTS
    ]
    return sum(shares) / len(shares)


def _writer() -> World:
    decoy = Planted("1:3", "decoy", dict.fromkeys(CONCEPTS, v.ATTENDS_ONLY), attends=frozenset(CONCEPTS))
    return _world(
        "writer",
        "Is a head that attends and writes told from one that attends and writes nothing?",
        _carrier("1:2", _GRATITUDE, 4.0),
        _carrier("2:0", _ANGER, 3.0),
        (decoy, designs.decoy()),
    )


def _diffuse() -> World:
    n_tokens = 14
    nats = -3.0 * n_tokens * attention_to_one_of_all(_GRATITUDE)
    return _world(
        "diffuse",
        "Is a writer found that attends to everything alike?",
        (
            _of_gratitude("2:3", "diffuse writer", v.READING_ELSEWHERE, nats),
            designs.diffuse_writer(_GRATITUDE, 3.0, n_tokens),
        ),
        _carrier("1:0", _ANGER, 3.0),
    )


def _elsewhere() -> World:
    relay = _of_gratitude("1:1", "hands the concept on", v.READING_ELSEWHERE, -3.0)
    reader = _of_gratitude("2:2", "reads it at the readout", v.READING_ELSEWHERE, -3.0)
    glance = Planted("3:0", "glances at the concept", dict.fromkeys(CONCEPTS, v.NO_EFFECT))
    carrier, design = _carrier("2:1", _ANGER, 3.0)
    return _world(
        "elsewhere",
        "Is it said of a carrier that it reads elsewhere, and is a sure trifle of attention called none?",
        (replace(relay, reads={_GRATITUDE: "first_token"}), designs.relay(_GRATITUDE)),
        (replace(reader, reads={_GRATITUDE: "readout"}), designs.reader_of_relay(_GRATITUDE, 3.0)),
        (replace(glance, reads={_GRATITUDE: "prompt"}), designs.glance(_GRATITUDE)),
        (replace(carrier, reads={_ANGER: "span"}), design),
    )


def _redundant() -> World:
    main = _of_gratitude("1:1", "main of the pair", v.ATTENDS_ONLY, -0.08)
    return _world(
        "redundant",
        "Is a pair found in which each head stands in for the other?",
        (replace(main, attends=frozenset({_GRATITUDE})), designs.main_of_pair(_GRATITUDE, 4.0)),
        (_of_gratitude("2:2", "backup of the pair", v.NO_EFFECT, 0.0), designs.backup_of_pair(_GRATITUDE, 3.92)),
        (_of_gratitude("1:1,2:2", "the pair", v.REDUNDANT, -4.0), None),
        _carrier("3:1", _ANGER, 3.0),
    )


def _position() -> World:
    both, nats = dict.fromkeys(CONCEPTS, v.SHARED_CARRIER), dict.fromkeys(CONCEPTS, -4.0)
    return _world(
        "position",
        "Is a head left alone that looks at the place where concept words stand, whatever stands there?",
        (Planted("0:2", "position-only", dict.fromkeys(CONCEPTS, v.NO_EFFECT)), designs.position_head(3)),
        (Planted("2:1", "writer of both", both, nats, frozenset(CONCEPTS)), designs.writer(4.0, *CONCEPTS)),
    )


def _suppressor() -> World:
    suppressor = replace(_of_gratitude("3:2", "suppressor", v.SUPPRESSOR, 1.5), attends=frozenset({_GRATITUDE}))
    return _world(
        "suppressor",
        "Is a head found whose loss raises the concept?",
        _carrier("1:1", _GRATITUDE, 5.0),
        (suppressor, designs.writer(-1.5, _GRATITUDE)),
        _carrier("2:3", _ANGER, 3.0),
    )


def _damage() -> World:
    lost = {_GRATITUDE: -4.0, _ANGER: -3.0}
    return _world(
        "damage",
        "Is general damage told from a concept?",
        (Planted("0:1", "everything rests on it", dict.fromkeys(CONCEPTS, v.GENERAL_DAMAGE), lost), designs.refiner()),
        _carrier("2:2", _GRATITUDE, 4.0, feature="refined"),
        _carrier("1:3", _ANGER, 3.0, feature="refined"),
    )


def _noise() -> World:
    question = "Is nothing found where there is nothing?"
    heads = _noise_heads("noise", {}, 12, 0.5)
    return World("noise", question, heads, (), others=v.NO_VERDICT, shown=False)


def _carrier(heads: str, concept: str, nats: float, feature: str = "in") -> tuple[Planted, HeadDesign]:
    verdicts = dict.fromkeys(CONCEPTS, v.NO_EFFECT) | {concept: v.CARRIER}
    planted = Planted(heads, f"writer of {concept}", verdicts, {concept: -nats}, frozenset({concept}))
    return planted, designs.writer(nats, concept, feature=feature)


def _of_gratitude(heads: str, part: str, verdict: str, nats: float) -> Planted:
    return Planted(heads, part, {_GRATITUDE: verdict, _ANGER: v.NO_EFFECT}, {_GRATITUDE: nats} if nats else {})


def _world(name: str, question: str, *parts: tuple[Planted, HeadDesign | None]) -> World:
    """The world of these heads, each with its design, and of sets of them, which have none."""
    designed = {Head(*map(int, planted.heads.split(":"))): design for planted, design in parts if design is not None}
    heads = designed | _noise_heads(name, designed, N_NOISE_HEADS, NOISE_NATS)
    return World(name, question, heads, tuple(planted for planted, _ in parts))


def _noise_heads(world: str, taken: Mapping[Head, HeadDesign], count: int, nats: float) -> dict[Head, HeadDesign]:
    """Noise heads at random places that are free."""
    free = [head for head in HEADS if head not in taken]
    places = generator(0, "world", world).permutation(len(free))[:count]
    return {free[int(place)]: designs.noise_head(k, nats) for k, place in enumerate(places)}

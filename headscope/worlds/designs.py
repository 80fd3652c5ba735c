"""The kinds of heads that worlds are made of, as designs. Amounts are in nats of the primary outcome at strength 1."""

from __future__ import annotations

import math

from headscope.worlds.hand_set import N_POSITIONS, UNITS_PER_NAT, HeadDesign, Look, Move
from headscope.worlds.texts import CONCEPTS, COPIED, WORD_CLASSES

_CONCEPT_SCORE, _BOS_SCORE, _OFF_SCORE = 16.0, 4.0, 40.0
_POSITION_SCORE = 24.0
_RELAYED_SCORE, _ELSE_SCORE = 24.0, 14.0
_TRIFLE = math.log(2e-4)  # of attention, against the head's main look
_NAME_SCORE, _NOISE_SCORE = 2.5, 0.5
_NAME_SHARE = 0.45  # of a noise head's attention, on a text of the usual length


def writer(nats: float, *concepts: str, feature: str = "in") -> HeadDesign:
    """Attends to the words of the concepts (to BOS where there is none) and writes each its own concept.

    Negative ``nats`` make a suppressor. ``feature`` is where it finds the concept: ``in``, the word itself, or
    ``refined``, what ``refiner`` made of it.
    """
    looks = (*(Look(None, f"{feature}:{one}", _CONCEPT_SCORE) for one in concepts), Look(None, "bos", _BOS_SCORE))
    return HeadDesign(looks, tuple(Move(f"{feature}:{one}", {f"out:{one}": nats * UNITS_PER_NAT}) for one in concepts))


def copier(nats: float) -> HeadDesign:
    """Attends to names (to BOS where there is none) and writes that the one it finds comes next."""
    looks = (Look(None, "name", _CONCEPT_SCORE), Look(None, "bos", _BOS_SCORE))
    return HeadDesign(looks, tuple(Move(f"who:{name}", {f"say:{name}": nats * UNITS_PER_NAT}) for name in COPIED))


def names_decoy() -> HeadDesign:
    """Attends as a copier does, and its values hold the name, but it writes nothing."""
    return HeadDesign(copier(0.0).looks, tuple(Move(f"who:{name}", {}) for name in COPIED))


def decoy() -> HeadDesign:
    """Attends like a writer, and its values hold the concept, but its output projection is zero."""
    return HeadDesign(writer(0.0, *CONCEPTS).looks, tuple(Move(f"in:{one}", {}) for one in CONCEPTS))


def diffuse_writer(concept: str, nats: float, n_tokens: int) -> HeadDesign:
    """Attends to every token alike and writes the concept: ``nats`` where there are ``n_tokens`` to attend to."""
    return HeadDesign((), (Move(f"in:{concept}", {f"out:{concept}": nats * n_tokens * UNITS_PER_NAT}),))


def main_of_pair(concept: str, nats: float) -> HeadDesign:
    """A writer that also leaves a mark that it has written."""
    alone = writer(nats, concept)
    writes = {f"out:{concept}": nats * UNITS_PER_NAT, "done": 1.0}
    return HeadDesign(alone.looks, (Move(f"in:{concept}", writes),))


def backup_of_pair(concept: str, nats: float) -> HeadDesign:
    """A writer that looks at BOS, and so writes nothing, wherever it finds the main head's mark."""
    alone = writer(nats, concept)
    return HeadDesign((*alone.looks, Look("done", "bos", _OFF_SCORE)), alone.moves)


def position_head(position: int) -> HeadDesign:
    """Attends to one position, whatever stands there, and writes which one it was where nobody reads it."""
    name = f"position:{position}"
    return HeadDesign((Look(None, name, _POSITION_SCORE),), (Move(name, {"place": 0.1}),))


def refiner() -> HeadDesign:
    """Attends to its own position; writes the class of the next word, and the concept in the form writers read.

    Without it every text is harder to predict, and writers of ``refined`` concepts find nothing.
    """
    looks = tuple(Look(f"position:{i}", f"position:{i}", _POSITION_SCORE) for i in range(N_POSITIONS))
    follows = tuple(Move(f"class:{k}", {f"next:{(k + 1) % WORD_CLASSES}": 1.0}) for k in range(WORD_CLASSES))
    return HeadDesign(looks, (*follows, *(Move(f"in:{one}", {f"refined:{one}": 1.0}) for one in CONCEPTS)))


def relay(concept: str) -> HeadDesign:
    """From the second word of a readout, attends to the concept's word, and leaves the concept there for later heads.

    From anywhere else it looks at BOS, so at the place where the answer is read it looks at no word of the concept.
    """
    looks = (Look("relay", f"in:{concept}", _CONCEPT_SCORE), Look(None, "bos", _BOS_SCORE))
    return HeadDesign(looks, (Move(f"in:{concept}", {f"refined:{concept}": 1.0}),))


def reader_of_relay(concept: str, nats: float) -> HeadDesign:
    """Finds the concept where ``relay`` left it, at the readout, and writes it; looks at names where there is none.

    To the concept's own word it pays about 2e-4 of its attention, more than to any other word of the prompt.
    """
    looks = (
        Look(None, f"refined:{concept}", _RELAYED_SCORE),
        Look(None, "name", _ELSE_SCORE),
        Look(None, f"in:{concept}", _RELAYED_SCORE + _TRIFLE),
    )
    return HeadDesign(looks, (Move(f"refined:{concept}", {f"out:{concept}": nats * UNITS_PER_NAT}),))


def glance(concept: str) -> HeadDesign:
    """Attends to names and, with about 2e-4 of its attention, always to the concept's word; writes nothing."""
    looks = (Look(None, "name", _ELSE_SCORE), Look(None, f"in:{concept}", _ELSE_SCORE + _TRIFLE))
    return HeadDesign(looks, (Move(f"in:{concept}", {}),))


def noise_head(k: int, deviation_nats: float) -> HeadDesign:
    """Attends mostly to names and a little to slot words, more or less at random, and writes random amounts.

    Written on the concepts' directions, with mean 0 and standard deviation about ``deviation_nats`` over templates,
    divided between the two concepts by an angle of its own.
    """
    looks = (Look(None, "name", _NAME_SCORE), Look(None, f"noise_key:{k}", _NOISE_SCORE))
    amount = deviation_nats * UNITS_PER_NAT / _NAME_SHARE
    angle = 2.4 * (k + 1)  # near the golden angle, so that any few heads point different ways
    shares = (math.cos(angle), math.sin(angle))
    writes = {f"out:{one}": amount * share for one, share in zip(CONCEPTS, shares, strict=True)}
    return HeadDesign(looks, (Move(f"noise_value:{k}", writes),))

"""The hand-set models are as designed, told by another way of computing them.

Logits are read one text at a time with transformers alone, heads are taken out by zeroing rows of W_O in a copy, and
what a design must give is worked out from the numbers of the design: softmax over its scores, times what it moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel

from headscope.heads import Head, HeadSet
from headscope.profiles.types import Prompt
from headscope.worlds import designs
from headscope.worlds.catalog import World, worlds
from headscope.worlds.hand_set import (
    N_HEADS,
    N_LAYERS,
    NEUTRAL_STRENGTHS,
    NORM,
    WORD_STRENGTHS,
    HeadDesign,
    direction,
    make_model,
)
from headscope.worlds.texts import (
    BOS,
    CONCEPTS,
    CONTROL,
    CONTROL_LEXICON,
    SLOT_WORDS,
    make_profile,
    make_tokenizer,
    vocabulary,
    word_classes,
)
from tests.reference.slow import attention, eager_copy, log_odds, token_ids, without_heads
from tests.tolerances import DESIGN, FLOAT64, TINY, effect_error

GRATITUDE, ANGER = CONCEPTS
CONCEPT_SCORE, BOS_SCORE = 16.0, 4.0  # what a writer looks for, and for how much


@cache
def world(name: str) -> World:
    (found,) = [one for one in worlds() if one.name == name]
    return found


@cache
def model(name: str) -> GPT2LMHeadModel:
    return make_model(name, world(name).designs)


def texts(concept: str, every: int = 3) -> Iterator[tuple[Prompt, str]]:
    """Some prompts of a class, each followed by one readout: all frames and all slot words among them."""
    profile = make_profile()
    for index, prompt in enumerate(profile.prompts_of(concept)[::every]):
        yield prompt, profile.readouts[index % len(profile.readouts)]


def outcome(hf: GPT2LMHeadModel, prompt: Prompt, readout: str, concept: str) -> float:
    return log_odds(hf, make_tokenizer(), prompt.text, (readout,), SLOT_WORDS[concept], CONTROL_LEXICON)


def changes(name: str, off: tuple[Head, ...], concept: str, asked: str | None = None) -> np.ndarray:
    """Change of the outcome on each text of ``asked`` when heads are off."""
    full, edited = model(name), without_heads(model(name), off)
    pairs = texts(asked or concept)
    return np.array([outcome(edited, *one, concept) - outcome(full, *one, concept) for one in pairs])


def strength(prompt: Prompt, concept: str) -> float:
    """How strongly the prompt's slot word carries a concept, by the tables of the design."""
    for owner, strengths in ((concept, WORD_STRENGTHS), (CONTROL, NEUTRAL_STRENGTHS)):
        for word, one in zip(SLOT_WORDS[owner], strengths, strict=True):
            if word in prompt.text.split():
                return one
    return 0.0


def written_share(prompt: Prompt, readout: str, concept: str) -> float:
    """What a writer of strength 1 moves: softmax over its scores for the text's tokens, times their concept."""
    tokens = [BOS, *prompt.text.split(), *readout.split()]
    carried = np.array([strength(prompt, concept) if t in _slot_words() else 0.0 for t in tokens])
    scores = CONCEPT_SCORE * carried + BOS_SCORE * np.array([t == BOS for t in tokens])
    shares = np.exp(scores - scores.max())
    return float(shares @ carried / shares.sum())


@cache
def _slot_words() -> frozenset[str]:
    return frozenset(word for words in SLOT_WORDS.values() for word in words)


def test_directions_are_orthonormal_and_have_mean_zero() -> None:
    names = ["ballast", "bos", "name", "done", "place"]
    names += [f"{kind}:{concept}" for kind in ("in", "refined", "out") for concept in CONCEPTS]
    names += [f"class:{k}" for k in range(4)] + [f"noise_value:{k}" for k in range(12)] + ["position:0", "position:31"]
    rows = np.stack([direction(name) for name in names])
    assert np.abs(rows @ rows.T - np.eye(len(rows))).max() < FLOAT64
    assert np.abs(rows.mean(axis=1)).max() < FLOAT64


@pytest.mark.parametrize("name", [one.name for one in worlds()])
@torch.no_grad()
def test_what_heads_write_changes_the_norm_of_the_residual_stream_by_less_than_a_fifth_of_a_percent(name: str) -> None:
    tokenizer = make_tokenizer()
    for concept in SLOT_WORDS:
        for prompt, readout in texts(concept, every=1):
            ids = torch.tensor([token_ids(tokenizer, f"{prompt.text} {readout}")])
            states = model(name)(ids, output_hidden_states=True).hidden_states[:-1]  # the last one is normed
            for state in states:
                assert float((state.norm(dim=-1) / NORM - 1).abs().max()) < 2e-3


@pytest.mark.parametrize(("name", "head", "concept", "nats"), [
    ("writer", Head(1, 2), GRATITUDE, 4.0),
    ("writer", Head(2, 0), ANGER, 3.0),
    ("suppressor", Head(1, 1), GRATITUDE, 5.0),
    ("suppressor", Head(3, 2), GRATITUDE, -1.5),
])  # fmt: skip
@pytest.mark.parametrize("asked", ["own", CONTROL])
def test_a_writer_gives_each_text_what_its_design_says(
    name: str, head: Head, concept: str, nats: float, asked: str
) -> None:
    asked = concept if asked == "own" else asked
    expected = [-nats * written_share(*one, concept) for one in texts(asked)]
    assert changes(name, (head,), concept, asked) == pytest.approx(expected, rel=DESIGN, abs=DESIGN)


def test_main_and_backup_stand_in_for_each_other_as_designed() -> None:
    main, backup = Head(1, 1), Head(2, 2)
    share = np.array([written_share(*one, GRATITUDE) for one in texts(GRATITUDE)])
    both = changes("redundant", (main, backup), GRATITUDE)
    assert both == pytest.approx(-4.0 * share, rel=DESIGN)
    main_alone = changes("redundant", (main,), GRATITUDE)
    assert main_alone - both == pytest.approx(3.92 * share, rel=DESIGN)  # what the backup brings back
    assert np.abs(changes("redundant", (backup,), GRATITUDE)).max() <= effect_error(world("redundant").load())


def test_a_decoy_and_heads_without_a_design_change_no_bit() -> None:
    unused = next(
        Head(layer, head)
        for layer in range(N_LAYERS)
        for head in range(N_HEADS)
        if Head(layer, head) not in world("writer").designs
    )
    tokenizer = make_tokenizer()
    for off in (Head(1, 3), unused):
        edited = without_heads(model("writer"), (off,))
        for prompt, readout in texts(GRATITUDE, every=9):
            ids = torch.tensor([token_ids(tokenizer, f"{prompt.text} {readout}")])
            assert torch.equal(edited(ids).logits, model("writer")(ids).logits)


def test_the_diffuse_writer_attends_to_all_tokens_alike() -> None:
    eager, tokenizer = eager_copy(model("diffuse")), make_tokenizer()
    for prompt, _ in texts(GRATITUDE, every=9):
        ids = token_ids(tokenizer, prompt.text)
        assert attention(eager, ids)[2, 3, -1] == pytest.approx(np.full(len(ids), 1 / len(ids)), abs=TINY)
    expected = [
        -3.0 * 14 * strength(prompt, GRATITUDE) / (1 + len(prompt.text.split()) + len(readout.split()))
        for prompt, readout in texts(GRATITUDE)
    ]
    assert changes("diffuse", (Head(2, 3),), GRATITUDE) == pytest.approx(expected, rel=DESIGN)


def test_the_position_head_looks_at_its_position_whatever_stands_there() -> None:
    eager, tokenizer = eager_copy(model("position")), make_tokenizer()
    for concept in SLOT_WORDS:
        for prompt, _ in texts(concept, every=9):
            assert attention(eager, token_ids(tokenizer, prompt.text))[0, 2, -1, 3] > 0.999


def test_the_refiner_holds_up_every_text_and_every_writer() -> None:
    classes = np.array([word_classes().get(token, -1) for token in vocabulary()])
    full, edited = model("damage"), without_heads(model("damage"), (Head(0, 1),))
    for prompt, _ in texts(CONTROL, every=9):
        ids = token_ids(make_tokenizer(), prompt.text)
        following = classes[ids[2:]]
        assert (following == (classes[ids[1:-1]] + 1) % 4).all()
        for hf, holds_up in ((full, True), (edited, False)):
            with torch.no_grad():
                probabilities = hf(torch.tensor([ids])).logits[0, 1:-1].double().softmax(-1).numpy()
            right = [row[classes == k].mean() / row.mean() for row, k in zip(probabilities, following, strict=True)]
            assert bool(min(right) > 1.5) is holds_up
    for concept in CONCEPTS:
        (writer,) = [p.heads for p in world("damage").planted if p.part == f"writer of {concept}"]
        alone = changes("damage", tuple(HeadSet.parse(writer, (N_HEADS,) * N_LAYERS)), concept)
        assert changes("damage", (Head(0, 1),), concept) == pytest.approx(alone, rel=2 * DESIGN)


def test_noise_heads_write_amounts_of_the_size_asked_for_with_mean_zero() -> None:
    """Calibrated in nats of the outcome: over templates the mean is near 0 and the deviation near what was asked."""
    for k in range(4):
        hf = make_model("one", {Head(1, 1): designs.noise_head(k, 0.5)})
        off = without_heads(hf, (Head(1, 1),))
        wrote = np.array(
            [
                [outcome(hf, *one, concept) - outcome(off, *one, concept) for concept in CONCEPTS]
                for one in texts(CONTROL, every=1)
            ]
        )
        size = np.sqrt((wrote.std(axis=0) ** 2).sum())
        assert 0.25 < size < 1.0
        assert np.abs(wrote.mean(axis=0)).max() < 0.25 * size


def test_a_design_larger_than_a_head_is_refused() -> None:
    looks = designs.refiner().looks
    assert len(looks) == 32
    with pytest.raises(ValueError, match="32 dimensions"):
        make_model("big", {Head(0, 0): HeadDesign((*looks, looks[0]))})

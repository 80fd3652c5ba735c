"""A GPT-2 whose weights are set by hand, so that what each head does is known from its design.

1. *Directions.* The residual stream is written in orthonormal directions with mean zero (cosines of rising frequency),
   one for each feature: a word's concept, its class, its position, what is to be said next, and so on. Heads read from
   some and write to others, so no head disturbs another but by design.
2. *LayerNorm made harmless.* Every token also has a share of one ballast direction that no head reads, which brings its
   norm to ``NORM``. With zero means, LayerNorm is then one scalar, which its weight undoes; what heads write changes
   the norm by less than .2 %.
3. *Heads.* A head is designed as what it looks for (score of a query feature for a key feature; softmax over keys) and
   what it moves (value feature -> features it writes). One dimension of the head serves one term of each. Heads without
   a design have zero weights: uniform attention, z = 0. MLPs are zero.
4. *Reading out.* A word's logit is the sum of the written features that speak for it, ``1 / UNITS_PER_NAT`` a unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from headscope.heads import Head
from headscope.random_streams import generator
from headscope.worlds.texts import (
    BOS,
    CONCEPTS,
    COPIED,
    NAMES,
    READOUTS,
    SLOT_WORDS,
    WORD_CLASSES,
    vocabulary,
    word_classes,
)

FloatArray = npt.NDArray[np.float64]

N_LAYERS, N_HEADS, WIDTH, N_POSITIONS = 4, 4, 128, 32
HEAD_SIZE = WIDTH // N_HEADS
NORM = 50.0
UNITS_PER_NAT = 0.25
N_NOISE = 12
WORD_STRENGTHS = (0.85, 0.95, 1.05, 1.15)
"""How strongly the four words of a concept carry it; their mean is 1."""
NEUTRAL_STRENGTHS = (-0.03, 0.01, -0.01, 0.03)
NEXT_CLASS_NATS = 2.0
"""Nats by which a word of the right class is preferred, where a head writes the class."""
_SEED = 20240


@dataclass(frozen=True)
class Look:
    """Adds ``score`` x (query's coordinate on ``query``) x (key's on ``key``); ``query`` None counts as 1."""

    query: str | None
    key: str
    score: float


@dataclass(frozen=True)
class Move:
    """Adds (attended tokens' mean coordinate on ``read``) x amount to each direction of ``writes``."""

    read: str
    writes: Mapping[str, float]


@dataclass(frozen=True)
class HeadDesign:
    """What one head looks for and what it moves; at most ``HEAD_SIZE`` terms of each."""

    looks: tuple[Look, ...] = ()
    moves: tuple[Move, ...] = ()


@cache
def _directions() -> dict[str, int]:
    """Name of each direction -> its number, from 1 (0 would be the constant, which has no zero mean)."""
    names = ["ballast", "bos", "name", "done", "place"]
    names += [f"{kind}:{concept}" for kind in ("in", "refined", "out") for concept in CONCEPTS]
    names += [f"{kind}:{k}" for kind in ("class", "next") for k in range(WORD_CLASSES)]
    names += [f"{kind}:{k}" for kind in ("noise_key", "noise_value") for k in range(N_NOISE)]
    names += [f"position:{i}" for i in range(N_POSITIONS)]
    names += ["relay"]  # after all others, so that it moves none
    names += [f"{kind}:{name}" for kind in ("who", "say") for name in COPIED]
    return {name: number for number, name in enumerate(names, start=1)}


def direction(name: str) -> FloatArray:
    """[WIDTH] the unit vector of a feature."""
    steps = (np.arange(WIDTH) + 0.5) * math.pi / WIDTH
    return math.sqrt(2.0 / WIDTH) * np.cos(steps * _directions()[name])


@cache
def token_features() -> dict[str, dict[str, float]]:
    """Token -> its coordinates on the directions it has a part in (ballast and position not counted)."""
    features: dict[str, dict[str, float]] = {token: {} for token in vocabulary()}
    features[BOS]["bos"] = 1.0
    for word, number in word_classes().items():
        features[word][f"class:{number}"] = 1.0
    for concept in CONCEPTS:
        for owner, strengths in ((concept, WORD_STRENGTHS), ("neutral", NEUTRAL_STRENGTHS)):
            for word, strength in zip(SLOT_WORDS[owner], strengths, strict=True):
                features[word][f"in:{concept}"] = strength
    noise = [f"{kind}:{k}" for kind in ("noise_key", "noise_value") for k in range(N_NOISE)]
    _spread(features, NAMES, noise, 1.0)
    for words in SLOT_WORDS.values():
        _spread(features, words, noise, 0.3)
    for name in NAMES:
        features[name]["name"] = 1.0
    for readout in READOUTS:
        features[readout.split()[1]]["relay"] = 1.0
    for name in COPIED:
        features[name][f"who:{name}"] = 1.0
    return features


def _spread(features: dict[str, dict[str, float]], words: tuple[str, ...], names: list[str], deviation: float) -> None:
    """Random coordinates on ``names``, over ``words`` of mean exactly 0 and standard deviation ``deviation``.

    As far as there are words enough, different coordinates are uncorrelated, so that where a noise head looks says
    nothing about what it writes.
    """
    draws = generator(_SEED, "noise", words[0]).standard_normal((len(words), len(names)))
    draws -= draws.mean(axis=0)
    if len(words) > len(names):
        draws = np.linalg.qr(draws)[0]
    draws *= deviation / draws.std(axis=0)
    for word, row in zip(words, draws, strict=True):
        features[word].update(zip(names, row.tolist(), strict=True))


def make_model(name: str, heads: Mapping[Head, HeadDesign]) -> GPT2LMHeadModel:
    """The GPT-2 with these heads, float32, on the CPU; all other heads have zero weights."""
    config = GPT2Config(
        vocab_size=len(vocabulary()), n_positions=N_POSITIONS, n_embd=WIDTH, n_layer=N_LAYERS, n_head=N_HEADS,
        n_inner=1, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, tie_word_embeddings=False,
        bos_token_id=vocabulary()[BOS], eos_token_id=vocabulary()[BOS],
    )  # fmt: skip
    config.name_or_path = f"world-{name}"
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        transformer: Any = model.transformer
        for norm in (transformer.ln_f, *(norm for block in transformer.h for norm in (block.ln_1, block.ln_2))):
            norm.weight.fill_(NORM / math.sqrt(WIDTH))
        transformer.wte.weight.copy_(torch.from_numpy(_embeddings()))
        transformer.wpe.weight.copy_(
            torch.from_numpy(np.stack([direction(f"position:{i}") for i in range(N_POSITIONS)]))
        )
        model.lm_head.weight.copy_(torch.from_numpy(_readings()))
        for head, design in heads.items():
            attention = transformer.h[head.layer].attn
            _set_head(attention.c_attn.weight, attention.c_attn.bias, attention.c_proj.weight, head.head, design)
    return model.eval()


def _embeddings() -> FloatArray:
    """[V, WIDTH] features of each token, and the ballast that brings token + position to ``NORM``."""
    rows: list[FloatArray] = []
    for features in token_features().values():
        row = sum((value * direction(name) for name, value in features.items()), start=np.zeros(WIDTH))
        rows.append(row + math.sqrt(NORM**2 - 1.0 - row @ row) * direction("ballast"))
    return np.stack(rows)


def _readings() -> FloatArray:
    """[V, WIDTH] the directions that speak for each token as the next one."""
    rows = np.zeros((len(vocabulary()), WIDTH))
    for word, number in word_classes().items():
        rows[vocabulary()[word]] += NEXT_CLASS_NATS * direction(f"next:{number}")
    for concept in CONCEPTS:
        for word in SLOT_WORDS[concept]:
            rows[vocabulary()[word]] += direction(f"out:{concept}") / UNITS_PER_NAT
    for name in COPIED:
        rows[vocabulary()[name]] += direction(f"say:{name}") / UNITS_PER_NAT
    return rows


def _set_head(
    attention: torch.Tensor, bias: torch.Tensor, projection: torch.Tensor, head: int, one: HeadDesign
) -> None:
    """Write one head's design into c_attn [WIDTH, 3 WIDTH], its bias and c_proj [WIDTH, WIDTH]."""
    if max(len(one.looks), len(one.moves)) > HEAD_SIZE:
        raise ValueError(f"a head has {HEAD_SIZE} dimensions, so at most as many looks and moves")
    first = head * HEAD_SIZE
    for column, look in enumerate(one.looks, start=first):
        scaled = look.score * math.sqrt(HEAD_SIZE)  # attention divides scores by the root of the head's size
        if look.query is None:
            bias[column] = scaled
        else:
            attention[:, column] = torch.from_numpy(scaled * direction(look.query))
        attention[:, WIDTH + column] = torch.from_numpy(direction(look.key))
    for column, move in enumerate(one.moves, start=first):
        attention[:, 2 * WIDTH + column] = torch.from_numpy(direction(move.read))
        for name, amount in move.writes.items():
            projection[column] += torch.from_numpy(amount * direction(name)).float()

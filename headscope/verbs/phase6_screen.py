"""The Phase 6 study's own screening protocol, kept exactly, so that its figures can be reproduced.

1. The model's BOS is prepended; each prompt is tokenized alone.
2. Positions: of a neutral prompt the last token; of a concept prompt every token whose text, lower-cased and stripped
   of ``. , ! ? ; :`` but not of its leading space, is in the study's word list; the last token where none is.
3. A prompt's value is the mean of A[i, j] over i and j in those positions; the difference of the classes is unpaired.

Because the leading space stays, most words are missed and the last token stands in; and a word at position 1, which
can attend to BOS and itself only, is compared with a last token that sees many keys. Tables carry the protocol's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from headscope.heads import every_head
from headscope.measure.attention import Probe, read_probes
from headscope.profiles.types import Profile
from headscope.profiles.words import screening_words
from headscope.stats import ScreenBlock, screen_table
from headscope.study import Study
from headscope.tokens import Encoder
from headscope.verbs.result import prompt_coords

_STRIPPED = ".,!?;:"
CONFOUNDED = (
    "protocol phase6 compares words near the start with last tokens that see more keys: its differences are confounded "
    "with position. The matched protocol (--protocol matched) compares equal positions."
)


def matching_positions(tokenizer: Any, ids: Sequence[int], words: frozenset[str], n_bos: int) -> tuple[int, ...]:
    """Indices of the tokens that the study takes for a concept word; empty where it finds none."""
    return tuple(
        index
        for index, token in enumerate(ids)
        if index >= n_bos
        and tokenizer.decode([token], clean_up_tokenization_spaces=False).lower().strip(_STRIPPED) in words
    )


def screen_phase6(study: Study) -> tuple[dict[str, pd.DataFrame], xr.Dataset, dict[str, Any], str]:
    """Tables, values, record and main table of a screen by the study's protocol."""
    model, profile = study.model, study.profile
    bos = model.bos_token_id if model.bos_token_id is not None else model.tokenizer.bos_token_id
    encoder = Encoder(model.tokenizer, bos, model.context_length)
    prompts = [*study.prompts, *profile.controls]
    sequences: list[tuple[int, ...]] = []
    probes: list[Probe] = []
    matched: dict[str, bool] = {}
    for prompt in prompts:
        tokens = encoder.encode_prompt(prompt)
        found: tuple[int, ...] = ()
        if prompt.concept != profile.control:
            words = frozenset(screening_words(profile.concepts[prompt.concept]))
            found = matching_positions(model.tokenizer, tokens.ids, words, tokens.n_bos)
        matched[prompt.id] = bool(found)
        positions = found or (len(tokens) - 1,)
        probes.append(Probe(len(sequences), positions, positions, exclude_query=False))
        sequences.append(tokens.ids)
    halvings: list[int] = []
    read = read_probes(
        model,
        sequences,
        probes,
        batch_tokens=study.batch_tokens,
        pack=study.pack,
        progress=study.progress,
        halved=halvings.append,
    )
    sizes = np.array([len(probe.keys) for probe in probes])
    values = read["attention"] / sizes[:, None, None]

    coverage = _coverage(profile, study.names, matched)
    table = screen_table(_blocks(study, values), seed=study.seed)
    dataset = xr.Dataset(
        {"attention": (("prompt", "layer", "head"), values, {"unit": "attention_share"})},
        coords=prompt_coords(study, prompts, layer=np.arange(values.shape[1]), head=np.arange(values.shape[2]))
        | {"n_span_tokens": ("prompt", sizes)},
    )
    record = {
        "protocol": "phase6",
        "query": "phase6",
        "concepts": list(study.names),
        "seed": study.seed,
        "batch_tokens": study.batch_tokens,
        "n_batches_halved": sum(halvings),
        "packed": study.pack and model.tree_row_limit is not None,
        "warnings": [CONFOUNDED, *coverage["note"].tolist(), *study.warnings],
    }
    return {"screen": table, "coverage": coverage}, dataset, record, "screen"


def _coverage(profile: Profile, names: Sequence[str], matched: dict[str, bool]) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for name in names:
        prompts = profile.prompts_of(name)
        n_found = sum(matched[prompt.id] for prompt in prompts)
        rows.append(
            {
                "concept": name,
                "n_prompts": len(prompts),
                "n_spans": n_found,
                "n_implicit": sum(prompt.implicit for prompt in prompts),
                "n_paired_equal": 0,
                "n_paired_unequal": 0,
                "n_length_matched": 0,
                "n_unmatched": len(prompts) - n_found,
                "n_without_query": 0,
                "n_without_remainder": 0,  # the study has no measure without sinks
                "coverage_share": n_found / max(1, len(prompts)),
                "protocol": "phase6",
                "note": f"{name}: a listed word was found in {n_found} of {len(prompts)} prompts; "
                "the last token stands in for the others",
            }
        )
    return pd.DataFrame(rows)


def _blocks(study: Study, values: np.ndarray) -> list[ScreenBlock]:
    heads = every_head(study.model.heads_per_layer)
    flat = values[:, [head.layer for head in heads], [head.head for head in heads]]
    prompts, control = [*study.prompts, *study.profile.controls], study.profile.control
    rows = {name: [i for i, prompt in enumerate(prompts) if prompt.concept == name] for name in (*study.names, control)}
    labels = {name: [study.templates[prompts[i].id] for i in rows[name]] for name in rows}
    return [
        ScreenBlock(
            name,
            "phase6",
            "attention",
            "phase6_unpaired",
            "attention_share",
            heads,
            flat[rows[name]],
            flat[rows[control]],
            labels[name],
            labels[control],
        )
        for name in study.names
    ]

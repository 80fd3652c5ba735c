"""Writes docs/methods.md: how well each score of heads finds those whose removal matters.

python docs/methods.py [CHECKPOINT FOLDER ...]

Every world, the bundled model and the folders named are screened, scored and swept exactly; a folder's model is asked
about the first templates of the bundled profile only, because its sweep is longer.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

import headscope as hs
from headscope.api import attribute, screen, sweep
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.stats import Criteria, screen_agreement
from headscope.verbs.attribute import MORE_STEPS, verified
from headscope.verbs.attribution_tables import MEASURES
from headscope.worlds.catalog import worlds
from headscope.worlds.texts import make_profile

PAGE = Path(__file__).with_name("methods.md")
N_TEMPLATES = 12
"""Templates of the bundled profile that folders are asked about."""
_HEAD = """# Which score finds the heads that matter?

Each score of all heads beside the exact effect of removing each head alone: Spearman's ρ of magnitudes and of signed
values, the rank that the score gives to the head with the largest effect, and how many of the five largest effects are
among the score's top five. Means over concepts (and, for the worlds, over the worlds that show their concepts). Heads
are not a sample, so no test belongs to these numbers; `exact` is the effect under the `mean` edit, under `zero` for
`gate_gradient` and `direct_logit`.

| score | what it is |
|---|---|
| attention | Δ attention, matched control |
| value-weighted | the same with the norm of what is written (Kobayashi 2020) |
| phase6 | Δ attention by the Phase 6 study's own protocol, confounded by position |
| gate_gradient | − d outcome / d gate (Michel 2019) |
| attribution_patching | (mean − z) · gradient (Nanda 2023; Kramár 2024) |
| attribution_patching_matched | (z of the matched control − z) · gradient; compared with the `mean` edit |
| integrated_gradient | the same along the line on which all heads are edited together (Hanna 2024) |
| direct_effect | log-odds after the edit, final norm frozen, later heads and layers as they were |
| direct_logit | minus the head's contribution to the difference of mean logits |

Attention says where a head looks, not what it does; over all heads the gradient scores follow the effect more closely.
Which single head is the strongest they can miss all the same: on the bundled model, which says a concept's word with
near certainty, a slope at the unedited point says little about a whole removal. First-order scores also miss a head
that only acts when another is off, and overrate one whose loss another makes good; the integrated score shares the
joint effect of all heads between them, so it sees the former and differs from single effects where heads repair each
other.

This page is written by `docs/methods.py` (`make methods`).
"""
_COLUMNS = {
    "spearman_abs": "ρ, magnitudes",
    "spearman_signed": "ρ, signed",
    "rank_of_top_effect": "rank of the strongest",
    "precision_at_k": "top 5 found",
}


def agreement(model: HeadModel, profile: Profile) -> pd.DataFrame:
    """One row a concept and score: how well it agrees with the exact sweep."""
    swept = sweep(model, profile)
    assay = swept.tables["assay"].set_index("concept")["estimate"]
    limits = {str(name): Criteria().threshold_nats(float(gap)) for name, gap in assay.items()}
    matched = screen(model, profile, query="readout" if profile.readouts else "last")
    looked = screen_agreement(matched.table, swept.table, thresholds_nats=limits)
    looked["measure"] = looked["measure"].replace({"value_weighted": "value-weighted"})
    study = screen_agreement(
        screen(model, profile, protocol="phase6").table, swept.table, thresholds_nats=limits, measures=("attention",)
    )
    fast = verified(attribute(model, profile, steps=MORE_STEPS, verify=0), swept, seed=0).tables["agreement"]
    return pd.concat([looked, study.assign(measure="phase6"), fast], ignore_index=True)


def _sections(folders: Sequence[str]) -> Iterator[str]:
    shown = [world for world in worlds() if world.shown]
    parts = [agreement(world.load(), make_profile()).assign(world=world.name) for world in shown]
    yield _section(f"Hand-set worlds ({len(shown)} models of 16 heads)", pd.concat(parts, ignore_index=True))
    yield _section("The bundled model (16 heads)", agreement(hs.load_model("demo"), hs.load_profile("baseline")))
    for folder in folders:
        model, profile = hs.load_model(folder), hs.load_profile("baseline")
        kept = sorted({prompt.template or "" for prompt in profile.controls})[:N_TEMPLATES]
        fewer = dataclasses.replace(profile, prompts=tuple(p for p in profile.prompts if p.template in kept))
        title = f"{Path(folder).name} ({sum(model.heads_per_layer)} heads, {N_TEMPLATES} templates)"
        yield _section(title, agreement(model, fewer))


def _section(title: str, table: pd.DataFrame) -> str:
    order = ["attention", "value-weighted", "phase6", *(one.name for one in MEASURES)]
    means = table.groupby("measure")[list(_COLUMNS)].mean()
    rows = [
        f"| {name} | {' | '.join(f'{means.loc[name, column]:.2f}' for column in _COLUMNS)} |"
        for name in order
        if name in means.index
    ]
    head = [f"| score | {' | '.join(_COLUMNS.values())} |", f"|:--|{'--:|' * len(_COLUMNS)}"]
    return "\n".join([f"## {title}\n", *head, *rows, ""])


if __name__ == "__main__":
    done = [_HEAD]
    for section in _sections(sys.argv[1:]):
        done.append(section)
        PAGE.write_text("\n".join(done), encoding="utf-8")  # a later section may take long

"""Does a checkpoint show what a demo must show? The bars, read with headscope's own verbs on profile ``baseline``.

1. Assay: the concept gap, concept - control on the primary outcome ``lexicon_logodds_nats`` at the readouts, and the
   share of prompts whose own lexicon leads: above the control lexicon and above every other concept's.
2. Sweep: every head alone under the deciding edit. The four heads whose removal lowers a concept most are chosen on one
   half of the templates and measured together on the other half, in both directions.
3. Null: sets of four that share no head with them, on the same prompts; the largest drop among them is the control.
4. Texts: lexicon words in 100 words of continuation, sampled at temperature 1 without any cut of the distribution,
   unedited and with the concept's four heads off.

No head is named anywhere: which heads do it differs from seed to seed.

Run from the project's root: ``python -m training.check headscope/models/demo``; exit code 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import headscope as hs
from headscope.heads import Head, HeadSet
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.profiles.words import count_words
from headscope.study import Study
from headscope.terms import PRIMARY
from headscope.verbs.effect_rows import DECIDING_EDIT
from headscope.verbs.joint import ChosenSet, choose_top, joint
from headscope.verbs.sweep import SweepResult

SET_SIZE = 4
DRAWN_SETS = 100


@dataclass(frozen=True)
class Bar:
    """One demand on one concept: ``value`` must be at least (or at most) ``limit``."""

    concept: str
    name: str
    value: float
    limit: float
    at_most: bool = False

    @property
    def passed(self) -> bool:
        """Whether the bar is met."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit


def measure(
    model: HeadModel, profile: Profile, *, n_random: int = DRAWN_SETS, samples: int = 2, seed: int = 0
) -> list[Bar]:
    """Every bar of every concept.

    Args:
        model: the checkpoint, loaded.
        profile: ``baseline``, or another with readouts.
        n_random: control sets for each chosen set; all that exist where fewer do.
        samples: texts for each prompt and arm.
        seed: of halves, control sets and texts.
    """
    swept = hs.sweep(model, profile, edits=(DECIDING_EDIT,), seed=seed)
    gaps = swept.tables["assay"].set_index("concept")["estimate"]
    bars: list[Bar] = []
    for concept in profile.concepts:
        bars += [
            Bar(concept, "concept_gap_nats", float(gaps[concept]), 3.0),
            Bar(concept, "prompts_right_share", share_right(swept, concept), 0.85),
            *set_bars(model, profile, swept, concept, n_random=n_random, seed=seed),
            *text_bars(model, profile, best_heads(swept, concept, SET_SIZE), concept, samples=samples, seed=seed),
        ]
    return bars


def share_right(swept: SweepResult, concept: str) -> float:
    """Share of a concept's prompts whose own lexicon is above the control lexicon and above every other concept's."""
    mine = (swept.values["concept"] == concept).to_numpy()
    logodds = swept.values["baseline"][mine].transpose("prompt", "lexicon")
    own = logodds.sel(lexicon=concept).to_numpy()
    others = logodds.drop_sel(lexicon=concept).to_numpy()
    return float(((own > 0.0) & (own > others.max(axis=1))).mean())


def best_heads(swept: SweepResult, concept: str, k: int) -> HeadSet:
    """The k heads whose removal lowers a concept most, over all its templates."""
    effects = swept.tables["effects"]
    rows = effects[(effects["concept"] == concept) & (effects["outcome"] == PRIMARY)]
    best = rows.sort_values("estimate", kind="stable").head(k)
    return HeadSet.of(Head(int(layer), int(head)) for layer, head in zip(best["layer"], best["head"], strict=True))


def set_bars(
    model: HeadModel, profile: Profile, swept: SweepResult, concept: str, *, n_random: int, seed: int
) -> list[Bar]:
    """The held-out drop under the top set, and how many times the best disjoint control's it is: the worse half."""
    chosen = choose_top(swept, concept, SET_SIZE, seed=seed)
    drops = [-joint_effect_nats(model, profile, one, seed=seed) for one in chosen]
    compared = joint(Study(model, profile, seed=seed), swept, chosen, [-drop for drop in drops], n_random=n_random)
    controls = [-min(drawn["random_effects_nats"]) for drawn in compared.record["drawn"]]
    ratios = [drop / max(control, 1e-9) for drop, control in zip(drops, controls, strict=True)]
    return [
        Bar(concept, "top_set_drop_nats", min(drops), 3.0),
        Bar(concept, "top_set_drop_over_best_control", min(ratios), 3.0),
    ]


def joint_effect_nats(model: HeadModel, profile: Profile, chosen: ChosenSet, *, seed: int) -> float:
    """Effect of one chosen set on the primary outcome, on the prompts it was not chosen on."""
    effects = hs.ablate(
        model, profile, chosen.heads, concept=chosen.concept, prompts=chosen.prompts, role="joint_top",
        edits=(DECIDING_EDIT,), generate=False, seed=seed,
    ).tables["effects"]  # fmt: skip
    rows = effects[(effects["concept"] == chosen.concept) & (effects["outcome"] == PRIMARY)]
    return float(rows["estimate"].iloc[0])


def text_bars(
    model: HeadModel, profile: Profile, heads: HeadSet, concept: str, *, samples: int, seed: int
) -> list[Bar]:
    """Lexicon words in 100 words of continuation: own, the others', and own with the heads off."""
    texts = hs.ablate(
        model, profile, heads, concept=concept, edits=(DECIDING_EDIT,), max_tokens=30, temperature=1.0, top_p=1.0,
        samples=samples, seed=seed,
    ).tables["texts"]  # fmt: skip
    baseline = words_per_100(texts["baseline_text"], profile)
    edited = words_per_100(texts["edited_text"], profile)
    return [
        Bar(concept, "own_words_per_100", baseline[concept], 4.0),
        Bar(concept, "other_words_per_100", max(v for k, v in baseline.items() if k != concept), 1.5, at_most=True),
        Bar(concept, "own_words_kept_share", edited[concept] / max(baseline[concept], 1e-9), 0.5, at_most=True),
    ]


def words_per_100(texts: Sequence[str] | pd.Series, profile: Profile) -> dict[str, float]:
    """Words of each concept's lexicon in 100 words of all texts together."""
    total = sum(len(text.split()) for text in texts)
    return {
        name: 100.0 * sum(count_words(text, concept.lexicon.words) for text in texts) / max(total, 1)
        for name, concept in profile.concepts.items()
    }


def as_table(bars: Sequence[Bar]) -> str:
    """The bars as a Markdown table: a row for each bar, a column for each concept."""
    concepts = list(dict.fromkeys(bar.concept for bar in bars))
    by_place: Mapping[tuple[str, str], Bar] = {(bar.name, bar.concept): bar for bar in bars}
    lines = ["| bar | limit | " + " | ".join(concepts) + " |", "|---|---|" + "---|" * len(concepts)]
    for name in dict.fromkeys(bar.name for bar in bars):
        row = [by_place[name, concept] for concept in concepts]
        limit = f"{'≤' if row[0].at_most else '≥'} {row[0].limit:g}"
        cells = [f"{bar.value:.2f}{'' if bar.passed else ' (missed)'}" for bar in row]
        lines.append(f"| `{name}` | {limit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Check a checkpoint of the bundled model against its bars.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--n-random", type=int, default=DRAWN_SETS, help="control sets for each top set; default: all")
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    options = parser.parse_args()

    model, profile = hs.load_model(options.checkpoint), hs.load_profile("baseline")
    bars = measure(model, profile, n_random=options.n_random, samples=options.samples, seed=options.seed)
    print(as_table(bars))
    missed = [bar for bar in bars if not bar.passed]
    print(f"\n{len(bars) - len(missed)} of {len(bars)} bars met")
    if options.output is not None:
        rows: list[dict[str, Any]] = [asdict(bar) | {"passed": bar.passed} for bar in bars]
        options.output.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

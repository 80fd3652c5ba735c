"""Two tasks in a model set by hand: the answer of one is a name that stands in the text, of the other a mood.

One head copies names, one writes gratitude, one looks at names and writes nothing. Each task's carrier is found, and no
other head, by the whole line: screen, sweep, specificity against the other task, verdicts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headscope.heads import Head
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from headscope.profiles.types import Profile
from headscope.stats import Criteria
from headscope.stats import verdicts as v
from headscope.study import Study
from headscope.verbs.deciding import complete, decide
from headscope.verbs.rank import rank
from headscope.verbs.reliability import reliability
from headscope.verbs.screen import screen
from headscope.verbs.sweep import sweep
from headscope.worlds import designs
from headscope.worlds.hand_set import make_model
from headscope.worlds.texts import COPIED, FRAMES, SLOT_WORDS, make_tokenizer
from tests.small_tasks import task_profile
from tests.tolerances import DESIGN

COPIER, WRITER, DECOY = "2:1", "1:2", "1:0"
COPIED_NATS, WRITTEN_NATS = 3.0, 2.0
GRATEFUL, NEUTRAL = SLOT_WORDS["gratitude"], SLOT_WORDS["neutral"]


def rows_of(t: int, frame: str) -> list[dict[str, Any]]:
    """One prompt of each task in one template: every name and every word stands in as many templates."""
    name, other = COPIED[t], COPIED[(t + 5) % len(COPIED)]
    tall, grateful, thankful = NEUTRAL[t % 4], GRATEFUL[t % 4], GRATEFUL[(t + 1) % 4]

    def text(who: str, mood: str) -> dict[str, Any]:
        filled = frame.replace("{name}", who).replace("{slot}", mood)
        spans = {
            part: [filled.index(word), filled.index(word) + len(word)]
            for part, word in (("who", who), ("mood", mood))
        }  # fmt: skip
        return {"text": filled, "spans": spans}

    def row(task: str, part: str, clean: dict[str, Any], corrupted: dict[str, Any], right: str, wrong: str) -> Any:
        at = [{**one, "spans": {part: one["spans"][part]}} for one in (clean, corrupted)]
        return {
            **at[0], "concept": task, "template": f"{task}{t:02d}", "answers": [f" {right}"], "foils": [f" {wrong}"],
            "corrupted": at[1],
        }  # fmt: skip

    return [
        row("copying", "who", text(name, tall), text(other, tall), name, other),
        row("mood", "mood", text(name, grateful), text(name, tall), thankful, "busy"),
    ]


@pytest.fixture(scope="module")
def profile() -> Profile:
    return task_profile(
        [row for t in range(len(COPIED)) for row in rows_of(t, FRAMES[t % len(FRAMES)])], ("copying", "mood")
    )


@pytest.fixture(scope="module")
def model() -> HeadModel:
    heads = {
        COPIER: designs.copier(COPIED_NATS),
        WRITER: designs.writer(WRITTEN_NATS, "gratitude"),
        DECOY: designs.names_decoy(),
    }
    placed = {Head(*map(int, name.split(":"))): design for name, design in heads.items()}
    return load_model(make_model("tasks", placed), tokenizer=make_tokenizer(), device="cpu")


@pytest.fixture(scope="module")
def judged(model: HeadModel, profile: Profile) -> dict[str, pd.DataFrame]:
    study = Study(model, profile)
    looked, swept = screen(study), sweep(study)
    told = rank(looked, swept.table, assay=swept.tables["assay"], by="effect", top_n=None)
    return {**looked.tables, **swept.tables, **told.tables}


def verdict(judged: dict[str, pd.DataFrame], heads: str, task: str) -> Any:
    table = judged["verdicts"]
    return table[(table["heads"] == heads) & (table["concept"] == task)].iloc[0]


def test_each_task_has_its_own_carrier(judged: dict[str, pd.DataFrame]) -> None:
    assert bool(judged["assay"]["shown"].all())
    assert verdict(judged, COPIER, "copying")["verdict"] == v.CARRIER
    assert verdict(judged, WRITER, "mood")["verdict"] == v.CARRIER
    assert verdict(judged, COPIER, "mood")["verdict"] == v.NO_EFFECT
    assert verdict(judged, WRITER, "copying")["verdict"] == v.NO_EFFECT


def test_the_decoy_attends_and_does_nothing(judged: dict[str, pd.DataFrame]) -> None:
    row = verdict(judged, DECOY, "copying")
    assert (row["verdict"], row["attends"], row["estimate"]) == (v.ATTENDS_ONLY, "yes", 0.0)


def test_all_other_heads_have_no_effect(judged: dict[str, pd.DataFrame]) -> None:
    table = judged["verdicts"]
    others = table[~table["heads"].isin([COPIER, WRITER, DECOY])]
    assert set(others["verdict"]) == {v.NO_EFFECT}


def test_effects_are_the_designs(judged: dict[str, pd.DataFrame], profile: Profile) -> None:
    """Off means: the mean over corrupted prompts of other templates, in which each name stands now and then."""
    attended = 1 / (1 + np.exp(4.0 - 16.0))  # of a name against BOS; the other tokens' scores are 0 beside 16
    changes: list[float] = []
    for prompt in profile.prompts_of("copying"):
        right, wrong = prompt.answers[0].strip(), prompt.foils[0].strip()
        others = [one.text.split() for one in profile.controls if one.template != prompt.template]
        # A head writes at every token; before the name is seen it writes nothing. So the mean is by share of tokens.
        shares = [
            sum((right == w) - (wrong == w) for w in words) * (len(words) - _place(words)) for words in others
        ]  # fmt: skip
        mean = sum(shares) / sum(1 + len(words) for words in others)
        changes.append(COPIED_NATS * (mean - 1.0))
    row = verdict(judged, COPIER, "copying")
    assert row["estimate"] == pytest.approx(attended * float(np.mean(changes)), rel=5 * DESIGN)


def _place(words: list[str]) -> int:
    return next(i for i, word in enumerate(words) if word in COPIED)


def test_specificity_is_the_difference_of_the_two_tasks(judged: dict[str, pd.DataFrame]) -> None:
    effects = judged["effects"]
    mine = effects[(effects["heads"] == COPIER) & (effects["edit"] == "mean")].set_index(["concept", "outcome"])
    contrast = mine.loc[("copying", "specificity_nats:mood")]
    own, other = (mine.loc[(task, "answer_logodds_nats")] for task in ("copying", "mood"))
    assert contrast["estimate"] == pytest.approx(abs(own["estimate"]) - abs(other["estimate"]))
    assert contrast["sim_low"] > 1.0


def test_what_would_rank_alike_is_what_ranks(model: HeadModel, profile: Profile) -> None:
    """Partners of half the prompts have one word more: they rank as before, and so are all told of."""
    longer = {one.pair for one in profile.prompts if one.pair is not None and int(one.template[-2:]) % 2}
    longer_ones = tuple(
        replace(one, text=f"{one.text} {one.text.split()[-1]}") if one.id in longer else one for one in profile.prompts
    )
    study = Study(model, replace(profile, prompts=longer_ones))
    looked, swept = screen(study), sweep(study)
    assert set(looked.values["control"].to_numpy()) == {"paired_equal", "paired_unequal_per_token"}
    told = reliability(looked, swept, top_k=1).tables["reliability"]
    assert set(told[told["by"] == "screen"]["n_templates"]) == {len(COPIED)}


def test_accuracy_stays_beside_the_verdicts_of_a_run(
    model: HeadModel, profile: Profile, judged: dict[str, pd.DataFrame]
) -> None:
    decided = complete(decide(Study(model, profile), heads=f"{COPIER},{WRITER}"), ("mean", "zero"), Criteria())
    pd.testing.assert_frame_equal(decided.tables["accuracy"], judged["accuracy"])
    assert set(decided.tables["accuracy"]["n_prompts"]) == {len(COPIED)}

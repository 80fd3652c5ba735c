"""Texts under a patch, as the verb gives them: tables of texts and of scores that agree with each other."""

import dataclasses
import re

import pytest

from headscope.api import patch
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.stats.patching import written_patches

TEMPLATES = ("t01", "t05", "t08", "t12", "t15", "t20", "t25", "t29")
SETTINGS = {"concepts": "gratitude", "n_random": 0, "max_tokens": 20, "samples": 2, "seed": 3}
SETS = "2:*,3:*"


@pytest.fixture(scope="module")
def model():
    return load_model("demo")


@pytest.fixture(scope="module")
def profile():
    whole = load_profile("baseline")
    return dataclasses.replace(whole, prompts=tuple(p for p in whole.prompts if p.template in TEMPLATES))


@pytest.fixture(scope="module")
def result(model, profile):
    return patch(model, profile, SETS, **SETTINGS)


@pytest.fixture(scope="module")
def texts(result):
    return result.tables["texts"]


def mean_over_templates(values, ids, profile):
    """Of each prompt over its samples, of each template over its prompts, then over templates."""
    template = {prompt.id: prompt.template for prompt in profile.prompts}
    frame = values.groupby(ids, sort=False).mean()
    return frame.groupby(frame.index.map(template)).mean().mean()


def test_every_target_has_three_texts_a_sample(texts, profile):
    n_targets = len([p for p in profile.prompts_of("gratitude") if p.pair])
    assert len(texts) == n_targets * 2 * 2 * 2  # directions, kinds of patch, samples
    by_target = texts.groupby(["direction", "prompt_id", "sample"])
    assert (by_target["edit"].agg(set) == {"patch", "control_patch"}).all()
    assert (by_target["baseline_text"].nunique() == 1).all(), "both patches have the same unpatched text"


def test_targets_and_sources_are_of_the_directions_classes(texts, profile):
    pair = {prompt.id: prompt.pair for prompt in profile.prompts}
    for row in texts.to_dict("records"):
        own, other = ("neutral", "gratitude") if row["direction"] == "sufficiency" else ("gratitude", "neutral")
        assert row["prompt_id"].startswith(own)
        assert row["source_id"].startswith(other if row["edit"] == "patch" else own)
        if row["edit"] == "patch":
            assert row["source_id"] == pair[row["prompt_id"]] or row["prompt_id"] == pair[row["source_id"]]


def test_scores_are_those_of_the_texts_counted_again(result, texts, profile):
    """Keywords counted with a pattern of their own, each arm from the texts that stand in the table."""
    words = sorted(profile.concepts["gratitude"].lexicon.words)
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, words))})\b", re.I)
    rows = written_patches(result.table)
    for direction in ("sufficiency", "necessity"):
        row = rows[(rows["direction"] == direction) & (rows["outcome"] == "keyword_count_gratitude")].iloc[0]
        mine = texts[texts["direction"] == direction]
        found = {}
        for edit, column, name in (
            ("patch", "baseline_text", "unpatched_mean"),
            ("patch", "edited_text", "patched_mean"),
            ("control_patch", "edited_text", "control_patched_mean"),
        ):
            part = mine[mine["edit"] == edit]
            found[name] = mean_over_templates(
                part[column].map(lambda t: len(pattern.findall(t))), part["prompt_id"], profile
            )
            assert row[name] == pytest.approx(found[name])
        assert row["estimate"] == pytest.approx(found["patched_mean"] - found["control_patched_mean"])


def test_every_score_is_tested_against_both_and_belongs_to_no_share(result):
    table = result.table
    written = table[table["outcome"].str.startswith(("keyword", "sentiment", "distinct"))]
    outcomes = {
        "keyword_count_gratitude",
        "keyword_count_anger",
        "keyword_count_apology",
        "sentiment_vader",
        "distinct_2",
    }
    assert len(written) == len(outcomes) * 2 * 2
    assert set(written["outcome"]) == outcomes
    assert set(written["status"]) == {"exploratory"}
    assert written["share_recovered"].isna().all()
    assert set(written["role"]) == {"requested"}


def test_the_demos_writers_bring_the_word_and_take_it_away(result):
    rows = written_patches(result.table)
    own = rows[rows["outcome"] == "keyword_count_gratitude"].set_index("direction")
    assert own.loc["sufficiency", "ci_low"] > 0.0
    assert own.loc["necessity", "ci_high"] < 0.0


def test_alpha_zero_changes_no_text_and_no_score(model, profile):
    result = patch(model, profile, SETS, **SETTINGS, alpha=0.0)
    texts = result.tables["texts"]
    assert (texts["baseline_text"] == texts["edited_text"]).all()
    assert (written_patches(result.table)["estimate"] == 0.0).all()


def test_the_same_request_writes_the_same_and_another_batch_plan_too(model, profile, texts):
    for budget in (None, 200):
        again = patch(model, profile, SETS, **SETTINGS, batch_tokens=budget).tables["texts"]
        assert again.equals(texts)


def test_new_tokens_alone_keep_the_first_token(model, profile):
    texts = patch(model, profile, SETS, **SETTINGS, target="generated").tables["texts"]
    assert (texts["baseline_text"].str[:2] == texts["edited_text"].str[:2]).all()  # its space and first letter
    assert (texts["baseline_text"] != texts["edited_text"]).any()


def test_the_mean_of_a_class_is_a_source_of_texts(model, profile):
    texts = patch(model, profile, SETS, **SETTINGS, source="mean", directions="sufficiency").tables["texts"]
    assert texts["source_id"].str.match(r"mean of \d+$").all()
    assert (texts["baseline_text"] != texts["edited_text"]).any()


@pytest.mark.parametrize(
    ("options", "warned"),
    [({"each": True}, False), ({"generate": False}, False), ({"what": "v", "alignment": "exact"}, True)],
)
def test_no_texts_where_heads_are_patched_alone_or_anything_but_z(model, profile, options, warned):
    result = patch(model, profile, SETS, **(SETTINGS | options))
    assert "texts" not in result.tables
    assert not len(written_patches(result.table))
    assert any("no texts were written" in warning for warning in result.warnings) == warned

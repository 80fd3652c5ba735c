"""Mistakes 9 and 10 of the Phase 6 study: names and pictures that collide; unpaired, unseeded, uncorrected results."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from headscope.api import ablate, screen, sweep
from headscope.errors import ProfileError
from headscope.heads import HeadSet, every_head
from headscope.models.head_model import HeadModel
from headscope.plots.head_reaction_heatmap import head_reaction_heatmap_figure
from headscope.profiles.loading import load_profile
from headscope.profiles.types import Profile
from headscope.runs.phase6 import ablation_path
from headscope.stats import split_templates
from headscope.terms import PRIMARY
from headscope.verbs.joint import choose_top
from tests.end_to_end.conftest import type_command
from tests.tolerances import FLOAT64_SUM

GPT2_SMALL = (12,) * 12


def test_phase6_mistake_9_collisions_of_file_names() -> None:
    """No two heads and no two pairs of heads of a model share a file."""
    heads = every_head(GPT2_SMALL)
    sets = [HeadSet((head,)) for head in heads] + [HeadSet(pair) for pair in itertools.combinations(heads, 2)]
    paths = {ablation_path("baseline", "gpt2", "gratitude", one) for one in sets}
    assert len(paths) == len(sets)
    one_ten, eleven_null = (HeadSet.parse(spec, GPT2_SMALL) for spec in ("1:10", "11:0"))
    assert ablation_path("baseline", "gpt2", "gratitude", one_ten).name == "gpt2_gratitude_1_10.pkl"
    assert ablation_path("baseline", "gpt2", "gratitude", eleven_null).name == "gpt2_gratitude_11_0.pkl"


def test_phase6_mistake_9_runs_of_different_heads_have_different_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders: set[str] = set()
    for heads in ("1:2", "2:1", "1:2,2:1"):
        ended = type_command(
            "ablate", "--model", "demo", "--heads", heads, "--concept", "anger", "--no-generate", "--json"
        )
        assert ended.code == 0, ended.err
        folders.add(ended.json["run"])
    assert len(folders) == 3


def test_phase6_mistake_9_the_heatmap_shows_every_concept(model: HeadModel, profile: Profile) -> None:
    """A panel for each concept, holding that concept's values, and the mean over all of them: not the last one's."""
    table = screen(model, profile).table
    figure = head_reaction_heatmap_figure(table)
    rows = table[(table["measure"] == "attention") & (table["control"] == "paired_equal")]
    grids = {
        concept: of.sort_values(["layer", "head"])["estimate"].to_numpy(float).reshape(4, 4)
        for concept, of in rows.groupby("concept")
    }
    grids["mean"] = np.mean(list(grids.values()), axis=0)
    panels = {axes.get_title(): axes.collections[0] for axes in figure.axes if axes.get_title() in grids}
    assert set(panels) == {*profile.concepts, "mean"}
    for name, mesh in panels.items():
        drawn = np.asarray(mesh.get_array(), dtype=float).reshape(4, 4)
        assert np.allclose(drawn, grids[name])
    assert not np.allclose(grids["mean"], grids[list(profile.concepts)[-1]])


def texts_of(model: HeadModel, profile: Profile, heads: str, seed: int) -> list[tuple[str, str]]:
    table = ablate(model, profile, heads, concept="gratitude", edits="zero", max_tokens=6, samples=2, seed=seed).tables[
        "texts"
    ]
    return list(zip(table["baseline_text"], table["edited_text"], strict=True))


def test_phase6_mistake_10_unseeded(model: HeadModel, profile: Profile) -> None:
    first = texts_of(model, profile, "3:*", 0)
    assert texts_of(model, profile, "3:*", 0) == first
    other = texts_of(model, profile, "3:*", 1)
    assert sum(a[0] != b[0] for a, b in zip(first, other, strict=True)) > len(first) / 2


def test_phase6_mistake_10_unpaired(model: HeadModel, profile: Profile) -> None:
    """Both arms draw from the same random numbers: an edit that changes nothing changes no token."""
    (last,) = model.head_set("3:3").heads
    twin = dataclasses.replace(profile, name="same")
    projection = model.hf.transformer.h[last.layer].attn.c_proj
    rows = slice(last.head * 32, (last.head + 1) * 32)
    kept = projection.weight[rows].clone()
    try:
        projection.weight.data[rows] = 0.0  # from here on the head writes nothing
        same = texts_of(model, twin, "3:3", 0)
    finally:
        projection.weight.data[rows] = kept
    assert all(baseline == edited for baseline, edited in same)
    assert any(baseline != edited for baseline, edited in texts_of(model, profile, "3:*", 0))


def test_phase6_mistake_10_uncorrected(model: HeadModel, profile: Profile) -> None:
    """Every head's primary effect carries a family-wise p; every other one a q within its own named family."""
    table = sweep(model, profile).table
    primary = table[(table["outcome"] == PRIMARY) & (table["edit"] == "mean")]
    assert len(primary) == 16 * len(profile.concepts)
    assert set(primary["status"]) == {"confirmatory"}
    assert primary["p_max_t"].notna().all()
    assert (primary["p_max_t"] >= primary["p_value"] - FLOAT64_SUM).all()
    assert (primary["p_value"] > 0).all()
    rest = table.drop(primary.index)
    assert set(rest["status"]) == {"exploratory"}
    tested = rest[rest["p_value"].notna()]
    assert (tested["q_value"] >= tested["p_value"] - FLOAT64_SUM).all()
    assert not set(rest["family"]) & set(primary["family"])
    screened = screen(model, profile).table
    assert (screened["q_value"] >= screened["p_value"] - FLOAT64_SUM)[screened["p_value"].notna()].all()


def test_phase6_mistake_10_duplicates_passed_off_as_new_prompts(tmp_path: Path) -> None:
    texts = [prompt.text for prompt in load_profile("baseline").prompts_of("gratitude")]
    (tmp_path / "gratitude_prompts.json").write_text(json.dumps({"prompts": [*texts, texts[3]]}))
    with pytest.raises(ProfileError, match="are the same text"):
        load_profile(tmp_path / "gratitude_prompts.json")
    shouted = [*texts, texts[3].upper() + "!"]
    (tmp_path / "gratitude_prompts.json").write_text(json.dumps({"prompts": shouted}))
    with pytest.raises(ProfileError, match="case and punctuation"):
        load_profile(tmp_path / "gratitude_prompts.json", strict=True)
    assert any("case and punctuation" in w for w in load_profile(tmp_path / "gratitude_prompts.json").warnings)


def test_phase6_mistake_10_selection_and_confirmation_on_the_same_prompts(model: HeadModel, profile: Profile) -> None:
    """A set is chosen on one half of the templates and measured on the other, in both directions.

    What the measured half holds cannot change what was chosen: with its effects turned upside down the choice stays.
    """
    swept = sweep(model, profile, edits=("mean",))
    for concept in profile.concepts:
        chosen = choose_top(swept, concept, 2, seed=0)
        if len(chosen) == 1:
            assert len(chosen[0].prompts) == len(profile.prompts_of(concept))
            continue
        measured = [set(one.prompts) for one in chosen]
        assert not measured[0] & measured[1]
        assert set.union(*measured) == {prompt.id for prompt in profile.prompts_of(concept)}
    labels = np.array([prompt.template for prompt in profile.prompts_of("gratitude")])
    ids = np.array([prompt.id for prompt in profile.prompts_of("gratitude")])
    chosen_on, measured_on = split_templates(labels.tolist(), seed=0, name="joint/gratitude")
    assert not set(labels[chosen_on]) & set(labels[measured_on])
    values = swept.values.copy(deep=True)
    off_limits = values["prompt"].isin(ids[measured_on])
    values["edited"] = values["edited"].where(~off_limits, 2 * values["baseline"] - values["edited"])
    turned = choose_top(dataclasses.replace(swept, values=values), "gratitude", 2, seed=0)
    before = choose_top(swept, "gratitude", 2, seed=0)
    assert turned[0].heads == before[0].heads
    assert turned[-1].heads != before[-1].heads  # chosen on the half that was turned

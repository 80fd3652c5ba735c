"""Outcomes of text that were asked for are tested like headscope's own, and agree with the texts that are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import headscope as hs
from headscope.errors import RequestError
from headscope.measure.outcomes.outcome import REGISTERED
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.terms import JOINT_TOP
from headscope.verbs.ablate import AblationResult
from tests.small_world import small_model, small_profile

N_TEMPLATES = 7
PATTERN = r"(?i)\bth\w*"


@pytest.fixture(autouse=True, scope="module")
def own() -> Iterator[None]:
    """A count of letters and a constant; gone when the module is."""
    before = dict(REGISTERED)

    @hs.outcome("n_letters", unit="letters", read_at="text")
    def n_letters(texts: Sequence[str], prompts: Sequence[str]) -> list[int]:
        return [sum(character.isalpha() for character in text) for text in texts]

    @hs.outcome("always_3", unit="threes", read_at="text")
    def always_3(texts: Sequence[str], prompts: Sequence[str]) -> list[float]:
        return [3.0] * len(texts)

    yield
    REGISTERED.clear()
    REGISTERED.update(before)


@pytest.fixture(scope="module")
def profile() -> Profile:
    """Gratitude and anger, one prompt of each of seven templates, and their controls."""
    whole = hs.load_profile("baseline")
    kept = sorted({str(one.template) for one in whole.controls})[:N_TEMPLATES]
    first: dict[tuple[str, str], Any] = {}
    for one in whole.prompts:
        if one.template in kept and one.concept in ("gratitude", "anger"):
            first.setdefault((one.concept, str(one.template)), one)
    pairs = {one.pair for one in first.values()}
    return replace(whole, prompts=(*first.values(), *(one for one in whole.controls if one.id in pairs)))


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return hs.load_model("demo")


ASKED = ("n_letters", "always_3", f"words_in_th=regex:{PATTERN}", "refusal")
NAMES = ("n_letters", "always_3", "words_in_th", "refusal")


@pytest.fixture(scope="module")
def ablated(model: HeadModel, profile: Profile) -> AblationResult:
    return hs.ablate(
        model, profile, "1:*,2:*", concept=["gratitude", "anger"], edits=["mean", "zero"], max_tokens=6, samples=2,
        outcomes=ASKED,
    )  # fmt: skip


def recounted(texts: pd.DataFrame, profile: Profile, column: str, count: Any) -> float:
    """The slow way: a value a text, averaged over samples, then over the prompts of a template, then over templates."""
    template = {one.id: one.template for one in profile.prompts}
    values = texts.assign(value=texts[column].map(count), template=texts["prompt_id"].map(template))
    of_prompts = values.groupby(["template", "prompt_id"])["value"].mean()
    return float(of_prompts.groupby("template").mean().mean())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("n_letters", lambda text: len(re.findall(r"[^\W\d_]", text))),
        ("words_in_th", lambda text: len(re.findall(PATTERN, text))),
        ("always_3", lambda text: 3),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_effects_are_those_of_the_kept_texts_counted_again(
    name: str, count: Any, ablated: AblationResult, profile: Profile
) -> None:
    rows = ablated.table[ablated.table["outcome"] == name]
    assert len(rows) == 4  # two concepts, two edits
    for row in rows.to_dict("records"):
        kept = ablated.tables["texts"]
        texts = kept[(kept["edit"] == row["edit"]) & (kept["concept"] == row["concept"])]
        baseline, edited = (recounted(texts, profile, f"{arm}_text", count) for arm in ("baseline", "edited"))
        assert row["baseline_mean"] == pytest.approx(baseline)
        assert row["edited_mean"] == pytest.approx(edited)
        assert row["estimate"] == pytest.approx(edited - baseline, abs=1e-12)  # a difference of counts: nearly 0 is 0


def test_their_rows_have_intervals_tests_and_a_family_each(ablated: AblationResult) -> None:
    rows = ablated.table[ablated.table["outcome"].isin(NAMES)]
    for row in rows.to_dict("records"):
        assert row["family"] == f"generation/{row['outcome']}/{row['edit']}"
        assert row["status"] == "exploratory"
        assert row["n_templates"] == N_TEMPLATES
        assert row["ci_low"] <= row["estimate"] <= row["ci_high"]
        assert 0 < row["p_value"] <= row["q_value"] <= 1
    letters = rows[rows["outcome"] == "n_letters"]
    assert (letters["estimate"] != 0).any()  # else the recount above could not fail
    assert (letters["ci_low"] < letters["ci_high"]).any()


def test_what_never_changes_has_no_effect_anywhere(ablated: AblationResult) -> None:
    rows = ablated.table[ablated.table["outcome"] == "always_3"]
    assert (rows[["estimate", "ci_low", "ci_high"]] == 0).all(axis=None)
    assert (rows["p_value"] == 1).all()
    noise = ablated.tables["sampling"].query("outcome == 'always_3'")
    assert (noise["sampling_sd"] == 0).all()


def test_the_noise_of_sampling_stands_beside_every_effect_on_text(ablated: AblationResult, profile: Profile) -> None:
    noise, texts = ablated.tables["sampling"], ablated.tables["texts"]
    key = ["concept", "heads", "role", "k", "edit", "scope", "outcome"]
    written = ablated.table[ablated.table["family"].str.startswith("generation/")]
    assert noise[key].astype(object).equals(written[key].astype(object).reset_index(drop=True))
    assert (noise["n_samples"] == 2).all()
    template = {one.id: one.template for one in profile.prompts}
    for row in noise[noise["outcome"] == "n_letters"].to_dict("records"):
        mine = texts[(texts["edit"] == row["edit"]) & (texts["concept"] == row["concept"])]
        letters = [mine[f"{arm}_text"].map(lambda text: sum(map(str.isalpha, text))) for arm in ("edited", "baseline")]
        change = (letters[0] - letters[1]).groupby(mine["prompt_id"].to_numpy())
        of_templates = (change.var() / 2).groupby(template).sum() / change.size().groupby(template).size() ** 2
        expected = np.sqrt(of_templates.sum()) / len(of_templates)
        assert row["sampling_sd"] == pytest.approx(expected)


def test_one_sample_and_greedy_texts_say_what_they_cannot_and_need_not(model: HeadModel, profile: Profile) -> None:
    asked: dict[str, Any] = {"concept": "anger", "edits": "zero", "max_tokens": 2, "outcomes": ["refusal"]}
    once = hs.ablate(model, profile, "1:0", **asked).tables["sampling"]
    assert once["note"].str.contains("--samples 2", regex=False).all()
    assert once[["sampling_sd", "samples_needed"]].isna().all(axis=None)
    greedy = hs.ablate(model, profile, "1:0", greedy=True, **asked).tables["sampling"]
    assert (greedy["sampling_sd"] == 0).all()
    assert (greedy["samples_needed"] == 1).all()


def test_what_gives_no_number_for_any_text_is_refused(model: HeadModel, profile: Profile) -> None:
    @hs.outcome("nothing", unit="", read_at="text")
    def nothing(texts: Sequence[str], prompts: Sequence[str]) -> list[float]:
        return [float("nan")] * len(texts)

    with pytest.raises(RequestError, match="no number for any text"):
        hs.ablate(model, profile, "1:0", concept="anger", edits="zero", max_tokens=1, outcomes=["nothing"])


def test_what_fails_on_an_empty_text_is_refused_before_any_work(
    model: HeadModel, profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @hs.outcome("first_letter", unit="", read_at="text")
    def first_letter(texts: Sequence[str], prompts: Sequence[str]) -> list[int]:
        return [ord(text[0]) for text in texts]

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("work began")

    monkeypatch.setattr("headscope.stages.Stage.run", never)
    with pytest.raises(RequestError, match=r"(?s)\"first_letter\" fails.*IndexError"):
        hs.ablate(model, profile, "1:0", concept="anger", outcomes=["first_letter"])
    with pytest.raises(RequestError, match='"first_letter" fails'):
        hs.run(model, profile, tmp_path / "run", concepts="anger", outcomes=["first_letter"])
    assert not (tmp_path / "run").exists()


def test_a_whole_run_carries_them(tmp_path: Path) -> None:
    run = hs.run(
        small_model(), small_profile(), tmp_path / "run", outcomes=["n_letters", "refusal"], until="texts", top_k=1,
        edits=["mean"], max_tokens=3, samples=2, languages=["en"],
    )  # fmt: skip
    assert [one["name"] for one in run.manifest.request.options["outcomes"]] == ["n_letters", "refusal"]
    effects, noise, texts = (run.table(name) for name in ("effects", "sampling", "texts"))
    rows = effects[(effects["outcome"] == "n_letters") & (effects["role"] == JOINT_TOP)]
    assert set(rows["concept"]) == set(texts["concept"])
    assert set(noise.loc[noise["outcome"] == "n_letters", "heads"]) == set(rows["heads"])
    for row in rows.to_dict("records"):
        mine = texts[(texts["heads"] == row["heads"]) & (texts["concept"] == row["concept"])]
        assert mine["prompt_id"].nunique() == row["n_prompts"]

"""Laws of the Phase 6 files: the study's keys stand, its files are read, names never collide."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from headscope.errors import RequestError, WorkError
from headscope.heads import Head, HeadSet
from headscope.runs.phase6 import (
    Ablation,
    ablation_path,
    head_scores_document,
    head_scores_path,
    read_ablation,
    read_head_scores,
    write_ablation,
    write_head_scores,
)
from headscope.tables import TABLES
from headscope.tables.csv import table_to_text

STUDY_ROW = [
    "layer",
    "head",
    "delta_attn",
    "emotion_mean_attn",
    "neutral_mean_attn",
    "samples_emotion",
    "samples_neutral",
    "emotion",
]
STUDY_ABLATION = [
    "model",
    "heads",
    "prompts",
    "baseline_texts",
    "ablation_texts",
    "baseline_metrics",
    "ablation_metrics",
]


def screen(concepts: tuple[str, ...] = ("gratitude", "anger"), layers: int = 2, heads: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        {
            **{
                name: {"text": "", "int": 0, "float": math.nan, "bool": False}[kind]
                for name, kind in TABLES["screen"].kinds.items()
            },
            "concept": concept,
            "layer": layer,
            "head": head,
            "measure": "attention",
            "query": "last",
            "control": "paired_equal",
            "estimate": rng.normal(),
            "concept_mean": rng.normal(),
            "control_mean": rng.normal(),
            "ci_low": rng.normal(),
            "ci_high": rng.normal(),
            "p_value": rng.random(),
            "n_prompts": 70,
        }
        for concept in concepts
        for layer in range(layers)
        for head in range(heads)
    ]
    return pd.DataFrame(rows)


def document(table: pd.DataFrame, **more: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "model": "gpt2",
        "heads_per_layer": (3, 3),
        "samples_neutral": 70,
        "protocol": "matched",
        "coverage": {"gratitude": 1.0},
        "versions": {"torch": "2"},
    }
    return head_scores_document(table, **{**facts, **more})


def ablation(**changes: Any) -> dict[str, Any]:
    counts = {name: {"mean": 1.1143, "std": 0.3, "total": 78} for name in ("gratitude", "anger", "apology")}
    metrics = {"keyword_counts": counts, "sentiment": {"mean": 0.0, "std": 0.0}}
    return {
        "model": "gpt2",
        "heads": [(1, 10), (3, 2)],
        "prompts": ["Thank you.", "感謝"],
        "baseline_texts": ["Thank you. a", "b\n"],
        "ablation_texts": ["c", ""],
        "baseline_metrics": metrics,
        "ablation_metrics": metrics,
        **changes,
    }


def test_head_scores_keep_the_studys_keys_and_order(tmp_path: Path) -> None:
    shuffled = screen().sample(frac=1, random_state=1)
    shuffled["concept"] = pd.Categorical(shuffled["concept"], ["gratitude", "anger"])
    path = write_head_scores(tmp_path / "s.json", document(shuffled.sort_values("concept").astype({"concept": str})))
    content = json.loads(path.read_text())
    assert {"model", "layers", "heads_per_layer", "scores"} <= set(content)
    assert (content["model"], content["layers"], content["heads_per_layer"]) == ("gpt2", 2, 3)
    assert content["protocol"] == "matched"
    assert content["coverage"] == {"gratitude": 1.0}
    rows = content["scores"]
    assert [list(row)[: len(STUDY_ROW)] for row in rows] == [STUDY_ROW] * 12
    assert [(row["emotion"], row["layer"], row["head"]) for row in rows] == [
        (emotion, layer, head) for emotion in ("gratitude", "anger") for layer in range(2) for head in range(3)
    ]
    assert {"ci_low", "ci_high", "p_value", "q_value"} <= set(rows[0])
    assert rows[0]["q_value"] is None


def test_head_scores_come_back_as_a_screen_table(tmp_path: Path) -> None:
    table = screen()
    found = read_head_scores(write_head_scores(tmp_path / "s.json", document(table, query="last"))).table()
    for column in (
        "concept",
        "layer",
        "head",
        "estimate",
        "concept_mean",
        "control_mean",
        "ci_low",
        "p_value",
        "n_prompts",
    ):
        assert found[column].tolist() == table[column].tolist()
    assert found["q_value"].isna().all()
    table_to_text("screen", found)
    same = read_head_scores(write_head_scores(tmp_path / "t.json", document(table)))
    assert set(same.table()["query"]) == {"last"}
    assert (tmp_path / "s.json").read_bytes() == write_head_scores(
        tmp_path / "u.json", document(table, query="last")
    ).read_bytes()


def test_head_scores_need_one_row_a_head() -> None:
    table = screen()
    with pytest.raises(WorkError, match="one row for each"):
        document(pd.concat([table, table.assign(measure="value_weighted")]))


def test_ragged_models_list_their_heads() -> None:
    content = document(screen(layers=2, heads=3), heads_per_layer=(3, 2), samples_neutral={"gratitude": 5, "anger": 6})
    assert content["heads_per_layer"] == 3
    assert content["heads_by_layer"] == [3, 2]
    assert {row["samples_neutral"] for row in content["scores"]} == {5, 6}


@pytest.mark.parametrize("suffix", [".json", ".pkl"])
def test_an_ablation_comes_back_as_written(tmp_path: Path, suffix: str) -> None:
    given_content = ablation(edit="zero", effects={"p": float("nan"), "counts": np.arange(2), "d": np.float32(0.5)})
    path = write_ablation(tmp_path / f"a{suffix}", given_content)
    found = read_ablation(path)
    assert found.heads == [(1, 10), (3, 2)]
    assert found.prompts == given_content["prompts"]
    assert found.baseline_texts == given_content["baseline_texts"]
    assert found.ablation_metrics.keyword_counts["gratitude"].total == 78
    assert found.baseline_metrics.sentiment.mean == 0.0
    assert (found.model_extra or {})["edit"] == "zero"
    again = write_ablation(tmp_path / f"b{suffix}", found)
    assert read_ablation(again).model_dump(exclude={"effects"}) == found.model_dump(exclude={"effects"})


def test_the_pickle_is_what_the_studys_readers_load(tmp_path: Path) -> None:
    path = write_ablation(tmp_path / "a.pkl", ablation(missing=float("nan"), numpy=np.float64(2.0)))
    content = pickle.loads(path.read_bytes())
    assert list(content)[: len(STUDY_ABLATION)] == STUDY_ABLATION
    assert content["heads"] == [(1, 10), (3, 2)]
    assert all(type(head) is tuple for head in content["heads"])
    assert math.isnan(content["missing"])
    assert type(content["numpy"]) is float
    assert b"numpy." not in path.read_bytes()


def test_equal_ablations_give_equal_bytes(tmp_path: Path) -> None:
    shared_text = "".join(["the same ", "object"])
    other_text = "".join(["the same ", "obj", "ect"])
    one = write_ablation(tmp_path / "a.pkl", ablation(baseline_texts=[shared_text, shared_text]))
    two = write_ablation(tmp_path / "b.pkl", ablation(baseline_texts=[shared_text, other_text]))
    assert one.read_bytes() == two.read_bytes()


def test_several_samples_a_prompt_are_kept(tmp_path: Path) -> None:
    texts = ["a", "b", "c", "d"]
    path = write_ablation(tmp_path / "a.json", ablation(baseline_texts=texts, ablation_texts=texts))
    assert read_ablation(path).baseline_texts == texts


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ablation_texts": ["c"]}, "as many texts in both arms"),
        ({"baseline_texts": ["a"] * 3, "ablation_texts": ["a"] * 3}, "same number for each prompt"),
        ({"heads": ["1:10"]}, "heads"),
        ({"prompts": [7, 8]}, "prompts"),
        ({"baseline_metrics": {"keyword_counts": {}}}, "sentiment"),
        ({"model": None}, "model"),
    ],
)
@pytest.mark.parametrize("suffix", [".json", ".pkl"])
def test_an_ablation_of_another_shape_is_refused(
    tmp_path: Path, suffix: str, changes: dict[str, Any], words: str
) -> None:
    content = ablation(**changes)
    with pytest.raises(WorkError, match=words):
        write_ablation(tmp_path / f"a{suffix}", content)
    assert list(tmp_path.iterdir()) == []
    path = tmp_path / f"b{suffix}"
    path.write_bytes(pickle.dumps(content) if suffix == ".pkl" else json.dumps(content).encode())
    with pytest.raises(RequestError, match=words):
        read_ablation(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("s.json", b"", "JSON is broken"),
        ("s.json", b"[1]", "wrong shape"),
        ("s.json", b'{"model": "a", "layers": 1, "heads_per_layer": 1}', "scores has the wrong shape"),
        ("s.json", b'{"model": "a", "layers": 1, "heads_per_layer": 1, "scores": [{"layer": -1}]}', "wrong shape"),
        ("s.json", b"\xff\xfe{}", "JSON is broken"),
    ],
)
def test_bad_head_scores_are_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError, match=words):
        read_head_scores(tmp_path / name)
    with pytest.raises(RequestError, match="does not exist"):
        read_head_scores(tmp_path / "none.json")


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    for act in (lambda path: write_ablation(path, ablation()), read_ablation):
        with pytest.raises(RequestError, match=r"\.json or \.pkl"):
            act(tmp_path / "a.txt")


def test_an_ablation_that_would_run_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(RequestError, match="was not run"):
        read_ablation(tmp_path / "a.pkl")


def test_phase6_mistake_9_collisions() -> None:
    """In the study "1:10" and "11:0" both became "110" in file names."""
    one, other = (
        ablation_path("baseline", "gpt2", "gratitude", HeadSet((head,))) for head in (Head(1, 10), Head(11, 0))
    )
    assert one.name == "gpt2_gratitude_1_10.pkl"
    assert other.name == "gpt2_gratitude_11_0.pkl"


def test_default_paths_are_the_studys() -> None:
    heads = HeadSet((Head(1, 10), Head(3, 2)))
    assert ablation_path("baseline", "openai-community/gpt2", "gratitude", heads) == Path(
        "results/baseline/patching/head_ablation/gpt2_gratitude_1_10-3_2.pkl"
    )
    assert head_scores_path("baseline", "gpt2") == Path("results/baseline/alignment/head_scores_gpt2.json")


@settings(deadline=None)
@given(st.lists(st.sets(st.builds(Head, st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=60), max_size=6))
def test_different_heads_never_share_a_name(sets: list[set[Head]]) -> None:
    distinct = {HeadSet.of(heads) for heads in sets}
    names = {ablation_path("p", "m", "c", heads).name for heads in distinct}
    assert len(names) == len(distinct)
    assert all(len(name) <= 255 for name in names)


@pytest.mark.oracle
def test_the_studys_published_scores_are_read(shared: Path) -> None:
    scores = read_head_scores(shared / "reference" / "phase6" / "head_scores_gpt2.json")
    table = scores.table()
    assert len(table) == 432
    assert scores.protocol == "phase6"
    assert list(dict.fromkeys(table["concept"])) == ["gratitude", "anger", "apology"]
    top = table.sort_values("estimate", ascending=False).iloc[0]
    assert (top["concept"], top["layer"], top["head"]) == ("gratitude", 1, 10)
    assert top["estimate"] == pytest.approx(0.340434, abs=5e-7)  # as printed
    assert set(table["control"]) == {"phase6_unpaired"}


def test_an_ablation_is_read_without_its_extra_keys(tmp_path: Path) -> None:
    (tmp_path / "study.pkl").write_bytes(pickle.dumps(ablation(), protocol=3))
    assert isinstance(read_ablation(tmp_path / "study.pkl"), Ablation)

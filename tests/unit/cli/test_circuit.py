"""A circuit holds every head that was removed, with the size of its effect, and those that carry the concept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headscope.cli import main
from headscope.runs.folder import Run
from headscope.runs.manifest import Request
from headscope.stats.verdicts import CARRIER, NO_EFFECT, SHARED_CARRIER, SUPPRESSOR
from headscope.tables import TABLES

MODEL = {"name": "tiny", "heads_per_layer": [2, 2], "d_model": 8}
VERDICTS = [
    ("ioi", "0:0", CARRIER, -1.5),
    ("ioi", "0:1", NO_EFFECT, 0.01),
    ("ioi", "1:0", SUPPRESSOR, 2.0),
    ("ioi", "1:1", SHARED_CARRIER, -0.5),
    ("ioi", "0:0,1:0", CARRIER, -3.0),
]


def made(folder: Path, verdicts: list[tuple[str, str, str, float]] | None, **model: object) -> Path:
    request = Request(verb="run", options={}, model_fingerprint="m", profile_fingerprint="p", seed=0)
    with Run.create(folder / "run", request, model={**MODEL, **model}) as run:
        if verdicts is not None:
            table = pd.DataFrame(verdicts, columns=["concept", "heads", "verdict", "estimate"])
            kinds = TABLES["verdicts"].kinds
            missing = {name: "" if kind == "text" else np.nan for name, kind in kinds.items() if name not in table}
            run.write_table("verdicts", table.assign(**missing)[TABLES["verdicts"].columns])
    return folder / "run"


def written(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(["circuit", *map(str, words)])
    printed = capsys.readouterr()
    return int(left.value.code or 0), printed.out + printed.err


def test_scores_are_sizes_and_carriers_are_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = written(capsys, made(tmp_path, VERDICTS), "--out", tmp_path / "c.json")
    assert (code, "2 of 4 heads in the circuit; no edges" in told) == (0, True)
    assert json.loads((tmp_path / "c.json").read_text()) == {
        "cfg": {"n_layers": 2, "n_heads": 2, "parallel_attn_mlp": None, "d_model": 8},
        "nodes": {
            "a0.h0": {"in_graph": True, "score": 1.5},
            "a0.h1": {"in_graph": False, "score": 0.01},
            "a1.h0": {"in_graph": False, "score": 2.0},
            "a1.h1": {"in_graph": True, "score": 0.5},
        },
        "edges": {},
    }


def test_the_largest_can_be_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = written(capsys, made(tmp_path, VERDICTS), "--out", tmp_path / "c.json", "--top-n", 2, "--json")
    nodes = json.loads((tmp_path / "c.json").read_text())["nodes"]
    assert code == 0
    assert json.loads(told)["in_graph_count"] == 2
    assert [name for name, node in nodes.items() if node["in_graph"]] == ["a0.h0", "a1.h0"]


def test_one_of_several_concepts_must_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made(tmp_path, [*VERDICTS, ("joy", "0:0", NO_EFFECT, 0.25)])
    assert written(capsys, run, "--out", tmp_path / "c.json")[0] == 2
    assert not (tmp_path / "c.json").exists()
    assert written(capsys, run, "--out", tmp_path / "c.json", "--concept", "joy")[0] == 0
    assert json.loads((tmp_path / "c.json").read_text())["nodes"] == {"a0.h0": {"in_graph": False, "score": 0.25}}
    assert written(capsys, run, "--out", tmp_path / "d.json", "--concept", "fear")[0] == 2


@pytest.mark.parametrize(
    ("verdicts", "model", "file", "words"),
    [
        (None, {}, "c.json", "run has no verdicts"),
        (VERDICTS, {"heads_per_layer": [2, 4]}, "c.json", "as many heads in every layer"),
        (VERDICTS, {}, "c.csv", "ending"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(
    verdicts: list[tuple[str, str, str, float]] | None, model: dict[str, object], file: str, words: str,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    code, told = written(capsys, made(tmp_path, verdicts, **model), "--out", tmp_path / file)
    assert (code, words in told) == (2, True)
    assert not (tmp_path / file).exists()

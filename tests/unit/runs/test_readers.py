"""A law of all that reads a file of a run or of the study: a value or an error of the request, and no waiting."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from headscope.errors import RequestError
from headscope.profiles.loading import load_profile
from headscope.report.facts import facts_of
from headscope.runs.arrays import read_arrays, write_arrays
from headscope.runs.atomic import canonical_json, plain
from headscope.runs.manifest import Manifest, Request, read_manifest
from headscope.runs.phase6 import read_ablation, read_head_scores
from headscope.runs.tables import read_table
from headscope.tables import TABLES

READERS: dict[str, Callable[[Path], Any]] = {
    "manifest.json": read_manifest,
    "head_scores.json": read_head_scores,
    "ablation.json": read_ablation,
    "ablation.pkl": read_ablation,
    "arrays.safetensors": read_arrays,
    "nulls.csv": lambda path: read_table(path, "nulls"),
    "prompts.txt": load_profile,
    "prompts.csv": load_profile,
}
HALF = "\ud83d"  # half of a surrogate pair
ASKED = Request(verb="run", options={}, model_fingerprint="m", profile_fingerprint="p", seed=0)
MANIFEST = Manifest(request=ASKED, request_digest=ASKED.digest, status="finished").model_dump(mode="json")
SCORE = {
    "layer": 0, "head": 0, "delta_attn": 0.1, "emotion_mean_attn": 0.1, "neutral_mean_attn": 0.1,
    "samples_emotion": 3, "samples_neutral": 3, "emotion": "joy",
}  # fmt: skip
SCORES = {"model": "m", "layers": 2, "heads_per_layer": 2, "scores": [SCORE]}
METRICS = {"keyword_counts": {"joy": {"mean": 1.0, "std": 0.0, "total": 1}}, "sentiment": {"mean": 0.0, "std": 0.0}}
ABLATION = {
    "model": "m", "heads": [(0, 0)], "prompts": ["a"], "baseline_texts": ["b"], "ablation_texts": ["c"],
    "baseline_metrics": METRICS, "ablation_metrics": METRICS,
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a loop of links", "nothing", "a device", "a zero byte"])
def test_only_a_plain_file_is_read_and_nothing_is_waited_for(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a loop of links":
        path.symlink_to(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a zero byte":
        path = tmp_path / f"a\0{name}"
    with pytest.raises(RequestError):
        READERS[name](path)


CONTENTS: dict[str, tuple[str, bytes]] = {
    "half a character in a warning": ("manifest.json", json.dumps({**MANIFEST, "warnings": [HALF]}).encode()),
    "half a character in a key": ("manifest.json", json.dumps({**MANIFEST, "record": {HALF: 1}}).encode()),
    "a time of 400 digits": ("manifest.json", json.dumps({**MANIFEST, "timings": {"a": 10**400}}).encode()),
    "a manifest nested deeply": ("manifest.json", b'{"record":' + b"[" * 100_000),
    "half a character in a concept": (
        "head_scores.json",
        json.dumps({**SCORES, "scores": [{**SCORE, "emotion": HALF}]}).encode(),
    ),
    "a layer beyond the model": (
        "head_scores.json",
        json.dumps({**SCORES, "scores": [{**SCORE, "layer": 2}]}).encode(),
    ),
    "a head beyond the model": (
        "head_scores.json",
        json.dumps({**SCORES, "scores": [{**SCORE, "head": 10**30}]}).encode(),
    ),
    "a model of 10^12 layers": ("head_scores.json", json.dumps({**SCORES, "layers": 10**12}).encode()),
    "a model of no layers": ("head_scores.json", json.dumps({**SCORES, "layers": 0, "scores": []}).encode()),
    "half a character in a text": ("ablation.pkl", pickle.dumps({**ABLATION, "prompts": [HALF]})),
    "a number of 30,000 digits": ("ablation.pkl", pickle.dumps(1 << 100_000)),
    "arms that count other words": (
        "ablation.json",
        json.dumps({**ABLATION, "ablation_metrics": {**METRICS, "keyword_counts": {}}}).encode(),
    ),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_what_would_break_later_is_refused_when_it_is_read(case: str, tmp_path: Path) -> None:
    name, content = CONTENTS[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError):
        READERS[name](tmp_path / name)


def test_the_good_neighbours_are_read(tmp_path: Path) -> None:
    for name, content in (
        ("manifest.json", json.dumps({**MANIFEST, "warnings": ["🙂 \\ud83d"]}).encode()),
        ("head_scores.json", json.dumps({**SCORES, "scores": [{**SCORE, "layer": 1, "head": 1}]}).encode()),
        ("ablation.json", json.dumps(ABLATION).encode()),
        ("ablation.pkl", pickle.dumps({**ABLATION, "prompts": ["🙂"]})),
    ):
        (tmp_path / name).write_bytes(content)
        assert READERS[name](tmp_path / name)
    write_arrays(tmp_path / "arrays.safetensors", {"a": xr.Dataset({"x": ("i", np.arange(3.0))})})
    assert read_arrays(tmp_path / "arrays.safetensors")


@pytest.mark.parametrize("cell", ["9" * 30, "-" + "9" * 30, "9" * 5000, "1.5", "0x1", "one", "nan"])
def test_a_cell_that_is_no_whole_number_of_64_bits_is_refused(cell: str, tmp_path: Path) -> None:
    columns = TABLES["nulls"].kinds
    good = {"text": "a", "int": "1", "float": "0.5", "bool": "true"}
    number = next(name for name, kind in columns.items() if kind == "int")
    row = [cell if name == number else good[kind] for name, kind in columns.items()]
    (tmp_path / "nulls.csv").write_text(",".join(columns) + "\n" + ",".join(row) + "\n")
    with pytest.raises(RequestError, match="does not fit"):
        read_table(tmp_path / "nulls.csv", "nulls")


def test_a_table_beyond_its_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headscope.runs.tables.TABLE_LIMIT_BYTES", 100)
    (tmp_path / "nulls.csv").write_bytes(b"x" * 101)
    with pytest.raises(RequestError, match="at most 100 bytes"):
        read_table(tmp_path / "nulls.csv", "nulls")


def test_a_file_name_that_is_no_utf8_can_be_kept_in_a_record() -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    assert canonical_json({"path": name, name: [name]}).encode("utf-8")
    assert plain({"path": name}) == {"path": "caf\\udce9.txt"}
    assert plain({"path": "café 🙂"}) == {"path": "café 🙂"}


@pytest.mark.parametrize("value", [7, "x", [], {}, None, [7], {"a": {"b": 7}}, True])
def test_a_report_is_made_of_any_facts(value: Any) -> None:
    """The free parts of a manifest may have been edited by hand."""
    names = ("heads_per_layer", "name", "readouts", "source", "sampling", "sentiment", "protocol", "options")
    inner = dict.fromkeys(names, value)
    for facts in (value, inner, {"a": inner}, {"a": value}):
        found = facts_of({"model": facts, "profile": facts, "record": facts, "request": facts, "versions": facts}, {})
        assert all(isinstance(count, int) for count in found.heads_per_layer)

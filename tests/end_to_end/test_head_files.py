"""Heads named by a file are the heads typed: one request, whatever the file; its name stands in the command only."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import headscope as hs
from headscope.models.loading import load_model
from headscope.runs.folder import Run
from headscope.stats.verdicts import CARRIER
from tests.end_to_end.conftest import Outcome
from tests.unit.cli.test_circuit import made

Headscope = Callable[..., Outcome]
ABLATE = ("ablate", "--concept", "anger", "--no-generate", "--edit", "mean")


def test_a_circuit_and_a_list_are_the_request_of_the_typed_heads(
    small_profile: Path, headscope: Headscope, tmp_path: Path
) -> None:
    run = made(tmp_path, [("ioi", "0:0", CARRIER, -1.5), ("ioi", "1:1", CARRIER, -0.5), ("ioi", "1:0", "none", 2.0)])
    assert headscope("circuit", run, "--out", "circuit.json").code == 0
    (tmp_path / "heads.csv").write_text("concept,layer,head\na,1,1\nb,0,0\nc,1,1\n")
    asked = (*ABLATE, "--model", "demo", "--profile", small_profile, "--out", "one")
    first = headscope(*asked, "--heads", "@circuit.json")
    assert first.code == 0, first.err
    kept = json.loads((tmp_path / "one" / "manifest.json").read_text())
    assert kept["request"]["options"]["heads"] == "0:0,1:1"
    assert "@circuit.json" in kept["command"]
    assert "circuit.json" not in json.dumps(kept["request"])
    for heads in ("1:1,0:0", "@heads.csv", f"@{run}?verdict={CARRIER}"):
        again = headscope(*asked, "--heads", heads)  # another request would be refused
        assert again.code == 0, again.err
        assert "finished already" in again.out + again.err
        assert ("several rows" in again.err) == (heads == "@heads.csv")
    assert headscope(*asked, "--heads", "0:0").code == 2


def test_sweep_and_patch_take_files_too(small_profile: Path, headscope: Headscope, tmp_path: Path) -> None:
    (tmp_path / "heads.txt").write_text("L1H1\n0:0\n")
    asked = ("--model", "demo", "--profile", small_profile, "--concept", "anger", "--heads", "@heads.txt")
    swept = headscope("sweep", *asked, "--out", "swept")
    patched = headscope("patch", *asked, "--no-generate", "--n-random", "2", "--out", "patched")
    assert (swept.code, patched.code) == (0, 0), swept.err + patched.err
    assert Run.open("swept").manifest.request.options["heads"] == "0:0,1:1"
    assert set(Run.open("swept").table("effects")["heads"]) == {"0:0", "1:1"}
    assert "0:0,1:1" in set(Run.open("patched").table("patching")["heads"])


def test_python_reads_the_same_file(tmp_path: Path, small_profile: Path) -> None:
    (tmp_path / "heads.json").write_text("[[1, 1], [0, 0]]")
    model = load_model("demo", unchecked=True)
    spec = f"@{tmp_path / 'heads.json'}"
    assert str(model.head_set(spec)) == "0:0,1:1"
    result = hs.ablate(model, hs.load_profile(small_profile), spec, concept="anger", generate=False)
    assert set(result.table["heads"]) == {"0:0,1:1"}
    (tmp_path / "heads.json").write_text("[[4, 0]]")
    with pytest.raises(hs.errors.RequestError, match="4:0 does not exist"):
        model.head_set(spec)

"""One command, from prompts to report; the same again changes nothing; another request does not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from headscope.runs.folder import REPORTS
from tests.end_to_end.conftest import SMALL, Outcome
from tests.unit.report.reading import anchors_in, length_in_words, links_in

LONGEST_REPORT = 2500
"""Words of the report on the bundled model and its three concepts."""


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_run_leaves_the_whole_folder_and_ends_with_the_path_of_the_report(small_run: tuple[Path, Outcome]) -> None:
    folder, ended = small_run
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1] == f"report: {folder / 'report.html'}"
    made = _contents(folder)
    for name in ("manifest.json", "arrays.safetensors", "head_scores.json", *REPORTS):
        assert made[name], name
    for table in (
        "coverage",
        "screen",
        "assay",
        "effects",
        "ranking",
        "layers",
        "verdicts",
        "texts",
        "nulls",
        "patching",
    ):
        assert f"tables/{table}.csv" in made
    pictures = {name.split("/")[1].split("_demo")[0] for name in made if name.startswith("plots/")}
    assert {"head_reaction_heatmap", "top_heads", "ablation_comparison", "effect_heatmap", "patch_heatmap"} <= pictures
    assert not {name for name in made if "tmp" in name or name.startswith("shards") or name == "lock"}


def test_every_picture_of_the_report_exists_and_every_table_is_named(small_run: tuple[Path, Outcome]) -> None:
    folder, _ = small_run
    for name in ("report.md", "report.ja.md", "evidence.md", "evidence.ja.md"):
        links = links_in((folder / name).read_text(encoding="utf-8"))
        assert any(link.startswith("plots/") for link in links)
        for file, _, anchor in (link.partition("#") for link in links):
            assert (folder / file).is_file()
            assert not anchor or anchor in anchors_in((folder / file).read_text(encoding="utf-8"))
    assert {path.name for path in (folder / "plots").glob("*.png")} == {
        link.removeprefix("plots/") for link in links_in((folder / "evidence.md").read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize("name", ["report.md", "report.ja.md"])
def test_the_report_is_read_in_a_few_minutes(small_run: tuple[Path, Outcome], name: str) -> None:
    assert length_in_words((small_run[0] / name).read_text(encoding="utf-8")) <= LONGEST_REPORT


def test_the_manifest_says_where_each_option_came_from(small_run: tuple[Path, Outcome]) -> None:
    manifest = json.loads((small_run[0] / "manifest.json").read_text())
    assert manifest["request_sources"]["top_k"] == "command line"
    assert manifest["request_sources"]["seed"] == "default"
    assert manifest["command"][:3] == ["headscope", "run", "--model"]


def test_the_same_request_again_says_so_and_changes_nothing(
    small_run: tuple[Path, Outcome], small_profile: Path, headscope: Callable[..., Outcome]
) -> None:
    folder, _ = small_run
    before = _contents(folder)
    again = headscope("run", "--model", "demo", "--profile", small_profile, "--out", folder, *SMALL)
    assert again.code == 0
    assert "finished already" in again.err
    assert again.out.splitlines()[-1] == f"report: {folder / 'report.html'}"
    assert _contents(folder) == before


def test_another_request_does_not_fit_the_folder(
    small_run: tuple[Path, Outcome], small_profile: Path, headscope: Callable[..., Outcome]
) -> None:
    folder, _ = small_run
    before = _contents(folder)
    other = headscope("run", "--model", "demo", "--profile", small_profile, "--out", folder, "--seed", "1", *SMALL)
    assert other.code == 2
    assert "seed: 0 there, 1 here" in other.err
    assert _contents(folder) == before


def test_the_same_request_gives_the_same_bytes(
    small_run: tuple[Path, Outcome], small_profile: Path, headscope: Callable[..., Outcome], tmp_path: Path
) -> None:
    command = ("run", "--model", "demo", "--profile", small_profile, "--out", tmp_path / "again", *SMALL)
    again = headscope(*command, "--json")
    assert again.code == 0, again.err
    assert again.json["report"] == str(tmp_path / "again" / "report.html")
    assert again.json["status"] == "finished"
    first, second = _contents(small_run[0]), _contents(tmp_path / "again")
    assert set(first) == set(second)
    tables = "effects verdicts texts nulls areas orders smallest reliability stability scores agreement components"
    for name in (*tables.split(), "patching", "dissociation"):
        assert len(first[f"tables/{name}.csv"].splitlines()) > 1, f"{name} is empty, so its bytes show nothing"
    assert len(first["arrays.safetensors"]) > 10_000
    # The manifest holds times; the reports the command, which names the folder.
    for name in set(first) - {"manifest.json", *REPORTS}:
        assert first[name] == second[name], name


def test_a_run_says_what_its_negative_control_showed(
    small_profile: Path, headscope: Callable[..., Outcome], tmp_path: Path
) -> None:
    options = (
        "--concept",
        "anger",
        "--edit",
        "mean",
        "--no-sets",
        "--no-patch",
        "--negative-control",
        "--quiet",
        *SMALL,
    )
    ended = headscope("run", "--model", "demo", "--profile", small_profile, "--out", "run", *options)
    assert ended.code == 0, ended.err
    assert len((tmp_path / "run" / "tables" / "negative_control.csv").read_text().splitlines()) == 17
    for name in ("report.md", "evidence.md"):
        report = (tmp_path / "run" / name).read_text(encoding="utf-8")
        assert "call 0 of 16 heads (over 1 concept) a carrier; none is expected" in report
    for name in ("report.ja.md", "evidence.ja.md"):
        assert "**陰性対照。**" in (tmp_path / "run" / name).read_text(encoding="utf-8")
    assert "Negative control" in (tmp_path / "run/report.html").read_text(encoding="utf-8")


def test_quiet_prints_the_report_alone(
    small_run: tuple[Path, Outcome], small_profile: Path, headscope: Callable[..., Outcome]
) -> None:
    folder, _ = small_run
    quiet = headscope("run", "--model", "demo", "--profile", small_profile, "--out", folder, "--quiet", *SMALL)
    assert quiet.out == f"report: {folder / 'report.html'}\n"


def test_a_five_prompt_profile_runs_and_is_called_descriptive(headscope: Callable[..., Outcome]) -> None:
    assert headscope("profiles", "new", "joy").code == 0
    ended = headscope("screen", "--model", "demo", "--profile", "joy", "--json")
    assert ended.code == 0, ended.err
    assert {row["status"] for row in ended.json["top"]} == {"descriptive"}
    assert any("descriptive only" in warning for warning in ended.json["warnings"])


def test_a_folder_is_a_model_like_any_other(headscope: Callable[..., Outcome], tmp_path: Path) -> None:
    import headscope as package

    bundled = Path(package.__file__).parent / "models" / "demo"
    shutil.copytree(bundled, tmp_path / "my-checkpoint")
    ended = headscope("screen", "--model", "./my-checkpoint", "--concept", "anger", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["model"] == "./my-checkpoint"
    assert Path(ended.json["run"]).name.startswith("my-checkpoint-baseline-")


@pytest.mark.parametrize("verb", ["screen", "sweep"])
def test_a_default_folder_is_named_by_the_request(
    verb: str, small_profile: Path, headscope: Callable[..., Outcome]
) -> None:
    first = headscope(verb, "--model", "demo", "--profile", small_profile, "--concept", "anger", "--json")
    again = headscope(verb, "--model", "demo", "--profile", small_profile, "--concept", "anger", "--json")
    other = headscope(
        verb, "--model", "demo", "--profile", small_profile, "--concept", "anger", "--seed", "1", "--json"
    )
    assert first.code == again.code == other.code == 0, first.err
    assert first.json["run"] == again.json["run"] == f"runs/demo-small-{first.json['request']}"
    assert other.json["run"] != first.json["run"]

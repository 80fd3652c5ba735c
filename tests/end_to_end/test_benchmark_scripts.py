"""The benchmarks' scripts beside the race: the device's runs on any device, and the stages' reads any run."""

import json
import math
import subprocess
import sys

import pytest


def script(project_root, name, *words):
    command = [sys.executable, "-m", f"benchmarks.{name}", *map(str, words)]
    return subprocess.run(command, cwd=project_root, capture_output=True, text=True)


def rows(printed):
    return [line for line in printed.splitlines() if line.startswith("| ")]


@pytest.mark.slow
def test_the_script_for_a_device_gives_finite_numbers_where_there_is_none(tmp_path, project_root):
    out = tmp_path / "gpu.json"
    done = script(project_root, "gpu", "--device", "cpu", "--tiny", "--out", out)
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text(encoding="utf-8"))
    stages = record["stages"]
    assert len(rows(done.stdout)) == 1 + len(stages)
    assert sum(one["stage"].startswith("sweep") for one in stages) == 3
    for one in stages:
        assert one["seconds"] > 0
        if one["stage"].startswith(("screen", "sweep")):
            assert all(math.isfinite(one[name]) and one[name] > 0 for name in ("tokens_per_second", "share_of_rate"))
    assert all(float(record["facts"][f"{dtype} TFLOP/s"]) > 0 for dtype in ("bfloat16", "float32"))


def written(folder, *stages):
    folder.mkdir()
    names = ("name", "status", "seconds", "expected_seconds", "why")
    manifest = {"stages": [dict(zip(names, stage, strict=True)) for stage in stages]}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_stages_are_shown_dearest_first_with_their_forecast(tmp_path, project_root):
    run = written(
        tmp_path / "small",
        ("assay", "done", 1.0, 2.0, ""),
        ("sweep", "done", 6.0, 4.0, ""),
        ("texts", "done", 3.0, None, ""),
        ("curves", "left out", None, 9.0, "fewer than 6 templates"),
    )
    complete = written(tmp_path / "complete", ("sweep", "done", 12.0, 12.0, ""))
    done = script(project_root, "stages", run, "--complete", complete, "--costliest", 2)
    assert done.returncode == 0, done.stderr
    assert rows(done.stdout) == [
        "| stage | seconds | share | with `--complete` |",
        "| sweep | 6.0 | 0.60 | 12.0 |",
        "| texts | 3.0 | 0.30 |  |",
        "| all stages | 10.0 | 1.00 | 12.0 |",
        "| run | forecast, s | real, s | real / forecast | furthest off |",
        "| small | 6.0 | 7.0 | 1.17 | sweep, 6.0 for 4.0 |",
    ]


def test_a_run_without_stages_is_refused(tmp_path, project_root):
    done = script(project_root, "stages", written(tmp_path / "old"))
    assert done.returncode == 2
    assert "knows no stages" in done.stderr


def test_the_script_of_the_live_view_times_every_reading_beside_a_plain_pass(project_root):
    done = script(project_root, "explore", "--model", "demo", "--rounds", 2, "--threads", 1)
    assert done.returncode == 0, done.stderr
    head, plain, *readings = rows(done.stdout)
    assert "at most 1.3" in head
    assert plain.split(" | ")[1:2] == ["plain pass of 30 tokens"]
    assert len(readings) == 8
    for row in readings:
        seconds, ratio = (float(cell.strip(" |")) for cell in row.split(" | ")[2:])
        assert seconds > 0
        assert ratio > 0

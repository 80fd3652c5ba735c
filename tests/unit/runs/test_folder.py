"""Laws of the run folder: one request a folder, one writer, nothing half, nothing changed once finished."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headscope.errors import HeadscopeError, RequestError, WorkError
from headscope.runs import folder as folder_module
from headscope.runs.folder import Run, RunFinished
from headscope.runs.lock import FolderLock
from headscope.runs.manifest import Request
from headscope.runs.paths import default_run_path, file_part
from tests.unit.runs.test_arrays import screen
from tests.unit.runs.test_tables import cells_of


def request(**changes: Any) -> Request:
    facts: dict[str, Any] = {
        "verb": "run",
        "options": {"protocol": "matched", "edits": ["mean", "zero"], "top_p": 0.9},
        "model_fingerprint": "m" * 64,
        "profile_fingerprint": "p" * 64,
        "seed": 0,
        "threads": 2,
        "batch_plan": {"tokens": 4096},
    }
    return Request(**{**facts, **changes})


def filled(run: Run) -> Run:
    run.write_arrays({"screen": screen()})
    run.write_table("layers", pd.DataFrame(cells_of("layers")))
    run.write_table("coverage", pd.DataFrame(cells_of("coverage")))
    return run


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_a_run_is_written_finished_and_read_again(tmp_path: Path) -> None:
    with Run.create(tmp_path / "a" / "r", request(), model={"name": "demo"}, versions={"torch": "2"}) as run:
        assert json.loads((run.path / "lock").read_text())["pid"] == os.getpid()
        filled(run)
        run.update(timings={"screen": 1.5}, record={"screen": {"coverage": 1.0}})
        run.update(timings={"sweep": 2.5}, warnings=["first"])
        run.warn("first")
        run.warn("second")
    found = Run.open(run.path)
    assert found.manifest.status == "finished"
    assert found.manifest.timings == {"screen": 1.5, "sweep": 2.5}
    assert found.manifest.warnings == ["first", "second"]
    assert found.manifest.model == {"name": "demo"}
    assert found.manifest.request == request()
    assert found.tables == ("coverage", "layers")
    assert found.table("coverage")["n_prompts"].tolist() == [3, 3]
    assert list(found.read_arrays()) == ["screen"]
    assert sorted(content(run.path)) == [
        "arrays.safetensors",
        "manifest.json",
        "tables/coverage.csv",
        "tables/layers.csv",
    ]


def test_new_files_get_the_modes_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with Run.create(tmp_path / "r", request()) as run:
            filled(run)
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in run.path.rglob("*") if file.is_file()} == {0o644}


def test_the_same_request_again_says_finished_and_changes_nothing(tmp_path: Path) -> None:
    with Run.create(tmp_path / "r", request()) as run:
        filled(run)
    before = content(run.path)
    with pytest.raises(RunFinished, match="finished already") as raised:
        Run.create(run.path, request())
    assert raised.value.exit_code == 0
    assert raised.value.run.tables == run.tables
    assert content(run.path) == before


def test_an_unfinished_run_of_the_same_request_goes_on(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "r", request())
    with pytest.raises(KeyboardInterrupt), run:  # noqa: PT012 - what is left behind is the point
        filled(run)
        (run.path / "shards").mkdir()
        (run.path / "shards" / "0").write_text("kept")
        (run.path / "mine.txt").write_text("kept too")
        (run.path / "tables" / ".headscope-tmp-0").write_text("half")
        raise KeyboardInterrupt
    assert Run.open(run.path).manifest.status == "stopped"
    with Run.create(run.path, request()) as again:
        assert again.resumed
        assert again.tables == ()
        assert sorted(content(again.path)) == ["lock", "manifest.json", "mine.txt", "shards/0"]
        filled(again)
    assert Run.open(run.path).manifest.status == "finished"
    assert "shards/0" not in content(run.path)


def test_a_run_killed_while_it_ends_has_lost_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pieces are removed last, and who asks again removes what is left of them."""

    def killed(*_: object, **__: object) -> None:
        raise SystemExit

    run = Run.create(tmp_path / "r", request())
    filled(run)
    run.shards.write(run.shards.key("sweep", 0), {"x": np.zeros(1)})
    with monkeypatch.context() as patched:
        patched.setattr("headscope.runs.folder.shutil.rmtree", killed)
        with pytest.raises(SystemExit):
            run.finish()
    assert len(run.shards) == 1
    assert Run.open(run.path).manifest.status == "finished"
    with pytest.raises(RunFinished):
        Run.create(run.path, request())
    assert not (run.path / "shards").exists()


def test_two_runs_of_one_request_leave_the_same_arrays_and_tables(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with Run.create(tmp_path / name, request()) as run:
            filled(run)
    first, second = content(tmp_path / "a"), content(tmp_path / "b")
    assert {name: data for name, data in first.items() if name != "manifest.json"} == {
        name: data for name, data in second.items() if name != "manifest.json"
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 1}, "seed: 0 there, 1 here"),
        ({"model_fingerprint": "x"}, "model_fingerprint: mmm"),
        ({"profile_fingerprint": "x"}, "profile_fingerprint: ppp"),
        ({"threads": 1}, "threads: 2 there, 1 here"),
        ({"batch_plan": {"tokens": 1}}, "batch_plan.tokens: 4096 there, 1 here"),
        (
            {"options": {"protocol": "phase6", "edits": ["mean", "zero"], "top_p": 0.9}},
            "protocol: matched there, phase6",
        ),
        ({"options": {"protocol": "matched", "edits": ["mean"]}}, "top_p: 0.9 there, (not set) here"),
    ],
)
def test_another_request_is_refused_with_what_differs(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with Run.create(tmp_path / "r", request()) as run:
        filled(run)
    before = content(run.path)
    with pytest.raises(RequestError, match="another request") as raised:
        Run.create(run.path, request(**changes))
    assert words in str(raised.value)
    assert raised.value.exit_code == 2
    assert content(run.path) == before


def test_the_digest_names_the_request_and_nothing_else() -> None:
    assert request().digest == request(options={"top_p": 0.9, "edits": ("mean", "zero"), "protocol": "matched"}).digest
    digests = {request(seed=seed, threads=threads).digest for seed in range(5) for threads in (1, 2, None)}
    assert len(digests) == 15
    assert len(request().digest) == 8


def test_the_default_folder_tells_model_profile_and_request() -> None:
    path = default_run_path("org/some model", "./my concept/", request())
    assert path == Path("runs") / f"some-model-my-concept-{request().digest}"
    assert [file_part(name) for name in ("gpt2", "a/b/", "C:\\x\\y", "..", "日本語", "हिन्दी")] == [
        "gpt2",
        "b",
        "y",
        "model",
        "日本語",
        "हिन्दी",
    ]


def test_a_finished_run_takes_derived_files_only(tmp_path: Path) -> None:
    with Run.create(tmp_path / "r", request()) as run:
        filled(run)
    table = pd.DataFrame(cells_of("ranking"))
    with Run.open(run.path, write=True) as later:
        later.write_table("ranking", table)
        later.write_derived("report.md", "one")
        later.write_derived("evidence.ja.md", "one")
        later.write_derived("plots/top_heads.png", b"\x89PNG")
        later.write_derived("report.md", "one")  # the same bytes again
        with pytest.raises(WorkError, match="do not change"):
            later.write_table("coverage", pd.DataFrame(cells_of("coverage", 1)))
        with pytest.raises(WorkError, match="does not change"):
            later.update(timings={"x": 1.0})
        with pytest.raises(RequestError, match="there already"):
            later.write_derived("report.md", "two")
        with pytest.raises(WorkError, match="no derived file"):
            later.write_derived("manifest.json", "{}")
    with Run.open(run.path, write=True, force=True) as forced:
        forced.write_derived("report.md", "two")
        with pytest.raises(WorkError, match="do not change"):
            forced.write_arrays({"screen": screen(1)})
    assert (run.path / "report.md").read_text() == "two"
    assert not (run.path / "lock").exists()


def test_a_run_opened_to_read_writes_nothing(tmp_path: Path) -> None:
    with Run.create(tmp_path / "r", request()) as run:
        filled(run)
    with Run.open(run.path) as reader, pytest.raises(WorkError, match="opened to read"):
        reader.write_derived("report.md", "one")


def test_a_request_found_wrong_before_anything_was_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such head"), Run.create(tmp_path / "a" / "b", request()):
        raise RequestError("no such head")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="no such head"), Run.create(tmp_path / "empty", request()):
        raise RequestError("no such head")
    assert content(tmp_path) == {}


def test_work_that_failed_is_told_by_the_manifest(tmp_path: Path) -> None:
    run = filled(Run.create(tmp_path / "r", request()))
    with pytest.raises(WorkError), run:
        raise WorkError("NaN logits", got="layer 3")
    manifest = Run.open(run.path).manifest
    assert manifest.status == "failed"
    assert "NaN logits" in (manifest.error or "")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(RequestError, match="not empty"):
        Run.create(tmp_path, request())
    assert content(tmp_path) == {"thesis.tex": b"years"}
    with pytest.raises(RequestError, match="not a run folder"):
        Run.open(tmp_path)
    with pytest.raises(RequestError, match="a file"):
        Run.create(tmp_path / "thesis.tex" / "r", request())
    with pytest.raises(RequestError, match="a file"):
        Run.create(tmp_path / "thesis.tex", request())


def test_a_second_writer_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    run = filled(Run.create(tmp_path / "r", request()))
    with pytest.raises(RequestError, match=rf"process {os.getpid()} on"):
        Run.create(run.path, request())
    assert run.tables == ("coverage", "layers")
    run.finish()
    with Run.open(run.path, write=True), pytest.raises(RequestError, match="another process"):
        Run.open(run.path, write=True)


@pytest.mark.parametrize("changes", [{}, {"seed": 1}])
def test_a_run_another_process_finished_in_between_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """Both saw no folder; the other one made, wrote and finished it before this one took the lock."""

    def late_lock(folder: Path) -> FolderLock:
        monkeypatch.undo()
        with Run.create(folder, request()) as other:
            filled(other)
        return FolderLock(folder)

    monkeypatch.setattr(folder_module, "FolderLock", late_lock)
    with pytest.raises(RequestError if changes else RunFinished):
        Run.create(tmp_path / "r", request(**changes))
    assert Run.open(tmp_path / "r").tables == ("coverage", "layers")


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from tests.unit.runs.test_folder import filled, request
from headscope.runs.folder import Run
run = filled(Run.create(sys.argv[2], request()))
print("writing", flush=True)
os.kill(os.getpid(), getattr(signal, sys.argv[3]))
signal.pause()
"""


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path, project_root: Path, name: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(project_root), str(tmp_path / "r"), name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout == "writing\n", done.stderr
    assert done.returncode != 0
    assert (tmp_path / "r" / "lock").exists()
    assert Run.open(tmp_path / "r").manifest.status == "running"
    with Run.create(tmp_path / "r", request()) as run:
        assert run.resumed
        filled(run)
    assert Run.open(tmp_path / "r").manifest.status == "finished"


def test_two_processes_that_begin_at_once_make_one_run(tmp_path: Path, project_root: Path) -> None:
    script = """
    import pathlib, sys, time
    sys.path.insert(0, sys.argv[1])
    from tests.unit.runs.test_folder import filled, request
    from headscope.runs.folder import Run
    print("ready", flush=True)
    sys.stdin.readline()
    with Run.create(sys.argv[2], request()) as run:
        filled(run)
        sys.stdin.readline()
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(project_root), str(tmp_path / "r")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    deadline = time.monotonic() + 300
    # The one that was refused ends by itself; only then is the other let go on.
    while all(process.poll() is None for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1], errors
    assert any("another process" in error for error in errors)
    assert Run.open(tmp_path / "r").manifest.status == "finished"


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    with Run.create(tmp_path / "r", request()) as run:
        filled(run)
    secret = tmp_path / "secret.csv"
    secret.write_bytes((run.path / "tables" / "coverage.csv").read_bytes())
    (run.path / "tables" / "coverage.csv").unlink()
    (run.path / "tables" / "coverage.csv").symlink_to(secret)
    (run.path / "plots").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(RequestError, match="leads out"):
        Run.open(run.path).table("coverage")
    with Run.open(run.path, write=True) as later, pytest.raises(RequestError, match="leads out"):
        later.write_derived("plots/x.png", b"")
    (run.path / "manifest.json").rename(tmp_path / "m.json")
    (run.path / "manifest.json").symlink_to(tmp_path / "m.json")
    with pytest.raises(RequestError, match="leads out"):
        Run.open(run.path)


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    with Run.create(tmp_path / "r", request()) as run:
        filled(run)
    (run.path / "manifest.json").unlink()
    (run.path / "manifest.json").symlink_to(run.path / "manifest.json")
    with pytest.raises(RequestError, match=r"manifest\.json"):
        Run.open(run.path)


def test_a_finished_run_in_a_folder_without_permission_is_finished_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Run.create(tmp_path / "r", request()) as run:
        filled(run)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root is allowed everything
    with pytest.raises(RunFinished):
        Run.create(run.path, request())
    with pytest.raises(RequestError, match="no permission"):
        Run.create(tmp_path / "other", request())
    assert not (tmp_path / "other").exists()


def test_names_that_climb_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    with Run.create(tmp_path / "r", request()) as run:
        filled(run)
        with pytest.raises(HeadscopeError):
            run.write_derived("plots/../../escaped", b"")
        with pytest.raises(HeadscopeError):
            run.table("../../escaped")
    assert not (tmp_path / "escaped").exists()

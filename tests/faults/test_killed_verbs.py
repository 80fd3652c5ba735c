"""SIGKILL in the middle of a stage of the other verbs that keep pieces; then the same command ends with the same bytes.

Every file of the folder is compared but the manifest, which tells of the run itself: arrays, tables, reports, pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from headscope.profiles.loading import load_profile
from headscope.runs.folder import SHARDS
from tests.end_to_end.conftest import SMALL, write_profile
from tests.faults.conftest import Command, kill_running, n_kept, record, status

KILLED_IN = {
    "run": (("sweep", "patch"), ("--batch-tokens", "1024", *SMALL)),
    "attribute": (("gradients", "direct", "sweep"), ("--steps", "2", "--verify", "1", "--batch-tokens", "256")),
    "patch": (
        ("patch", "patched_texts"),
        ("--heads", "1:0,2:1", "--batch-tokens", "512", "--n-random", "2", "--max-tokens", "4"),
    ),
}


@pytest.fixture(scope="module")
def small_profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundled = load_profile("baseline")
    return write_profile(tmp_path_factory.mktemp("profiles") / "small", bundled.prompts, ("gratitude", "anger"), 7)


def n_of(folder: Path, stage: str) -> int:
    return len(list((folder / SHARDS).glob(f"{stage}-*.shard")))


def files(folder: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: data for name, data in found.items() if name != "manifest.json"}


@pytest.mark.parametrize(
    ("verb", "stages", "words"),
    [pytest.param(verb, *rest, marks=() if verb == "patch" else pytest.mark.slow) for verb, rest in KILLED_IN.items()],
    ids=KILLED_IN,
)
def test_a_verb_killed_in_its_stages_ends_with_the_bytes_of_an_undisturbed_one(
    verb: str,
    stages: Sequence[str],
    words: Sequence[str],
    small_profile: Path,
    tmp_path: Path,
    tell: Callable[[str], None],
) -> None:
    command = Command((verb, "--model", "demo", "--profile", str(small_profile), *words))
    # The same words in two places, because a report holds the command line.
    clean, folder = tmp_path / "clean" / "run", tmp_path / "killed" / "run"
    clean.parent.mkdir()
    folder.parent.mkdir()
    code, error = command.done(Path("run"), cwd=clean.parent)
    assert code == 0, error
    for stage in stages:
        before = n_of(folder, stage)
        with command.process(Path("run"), cwd=folder.parent) as process:
            kill_running(process, folder, lambda s=stage, n=before: n_of(folder, s) > n)
    kept, n_pieces = n_kept(folder), record(clean)["written_count"]
    assert 0 < kept < n_pieces
    code, error = command.done(Path("run"), cwd=folder.parent)
    assert code == 0, error
    assert status(folder) == "finished"
    assert record(folder) == {"reused_count": kept, "written_count": n_pieces - kept, "damaged": []}
    expected, found = files(clean), files(folder)
    assert found.keys() == expected.keys()
    assert [name for name, data in found.items() if data != expected[name]] == []
    tell(
        f"headscope {verb} killed in {' and '.join(stages)}: {sum(map(len, found.values())):,} bytes of {len(found)} "
        "files compared with the undisturbed run, none differs"
    )

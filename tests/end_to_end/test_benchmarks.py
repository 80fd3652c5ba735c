"""The benchmark runs, and every way of doing a job gives the same numbers: headscope with each optimisation on and off,
and plain transformers."""

import json
import subprocess
import sys

import pytest

from headscope.rounding import pass_bound
from tests.tolerances import TINY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def written(tmp_path_factory, project_root):
    out = tmp_path_factory.mktemp("bench") / "benchmarks.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--rounds", "1", "--threads", "1", "--rivals", "none"]
    done = subprocess.run([*command, "--out", str(out)], cwd=project_root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(out.read_text(encoding="utf-8"))


def test_every_way_gives_the_same_numbers(written):
    _, record = written
    compared = {(row["job"], row["contestant"], row["way"]): row["difference"] for row in record["rows"]}
    compared = {key: value for key, value in compared.items() if value is not None}
    halved = [compared.pop(key) for key in list(compared) if key[2] == "bfloat16"]
    assert halved
    assert max(halved) <= pass_bound(2, 1024, "bfloat16")
    assert {way for _, contestant, way in compared if contestant == "headscope"} == {"recommended", "unpacked", "plain"}
    assert {contestant for _, contestant, _ in compared} == {"headscope", "transformers"}
    assert max(compared.values()) <= 2 * TINY, compared  # of log-odds, of logits below 1; of shares it is half of that


def test_the_table_has_a_row_for_each_and_the_record_every_run(written):
    printed, record = written
    lines = [line for line in printed.splitlines() if line.startswith("| ")]
    assert len(lines) == 1 + len(record["rows"])
    assert len(record["runs"]) == len(record["rows"])
    assert all(run["seconds"] > 0 for run in record["runs"])
    assert set(record["versions"]) == {"floor", "headscope", "transformers"}

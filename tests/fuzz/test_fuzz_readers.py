"""A coverage-guided fuzzer on everything that reads a file or a word from outside, for a bounded number of inputs."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.bad_input_table import run_manifest
from tests.unit.profiles.importing.files_of_tasks import SAMPLES
from tests.unit.profiles.test_validation_bad_files import YAML

RUNS = 4000
HEAD_SCORES = {"model": "m", "layers": 1, "heads_per_layer": 1, "scores": []}
ROW = b"concept,heads,k,outcome,estimate,percentile,floor,n_random,layer_matched,note\na,0:0,1,o,1,2,3,4,true,\n"
SEEDS: dict[str, list[bytes]] = {
    "heads": [b"1:10", b"L1H2", b"3:0-2,1:*", b"*"],
    "head_file": [
        b"0# movers\n1:0, L0H2\n3.1\n",
        b"1concept,layer,head,rank,score\na,1,0,1,0.5\nb,0,2,2,-1\n",
        b"2heads\tverdict\n1:0\tcarrier\n",
        b'3[[1, 0], "L0H2", {"layer": 1, "head": 1}]',
        b'3{"nodes": {"a1.h0": {"in_graph": true, "score": 1}, "m0": false}}',
        b'4{"layer": 1, "head": 0}\n',
    ],
    "profile": [
        b'0{"prompts": ["a"]}',
        b'0[{"prompt": "a", "label": 1}]',
        b'0{"messages": [{"role": "user", "content": "a"}]}',
        b'1{"text": "I am glad.", "span": [5, 9]}',
        b"2text,id\na,1\n",
        b'2sep=;\nText;Label\n"a;b";joy\n',
        b"4" + YAML.encode(),
    ],
    "tasks": [
        bytes([48 + ([".json", ".jsonl", ".csv"].index(Path(one.name).suffix))]) + one.content.encode()[:500]
        for one in SAMPLES.values()
    ],
    "manifest": [run_manifest()],
    "table": [ROW],
    "head_scores": [json.dumps(HEAD_SCORES).encode()],
    "pickle": [pickle.dumps({"heads": [(1, 10)], "texts": ["a"]}, protocol) for protocol in range(6)],
}
NEEDS_ATHERIS = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this machine"
)


def fuzzed(reader: str, seeds: list[bytes], folder: Path, root: Path) -> tuple[int, str]:
    """Exit code and messages of the fuzzer."""
    corpus, work = folder / "corpus", folder / "work"
    corpus.mkdir()
    work.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)
    program = Path(__file__).with_name("fuzz_readers.py")
    bounds = [f"-runs={RUNS}", "-max_total_time=60", "-seed=1", "-max_len=600", f"-artifact_prefix={work}/"]
    done = subprocess.run(
        [sys.executable, str(program), reader, str(work), str(corpus), *bounds],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
        timeout=300,
    )
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


@NEEDS_ATHERIS
@pytest.mark.parametrize("reader", SEEDS)
def test_no_bytes_break_a_reader(reader: str, tmp_path: Path, project_root: Path, tell: Callable[[str], None]) -> None:
    code, told = fuzzed(reader, SEEDS[reader], tmp_path, project_root)
    assert code == 0, told[-3000:]
    tried = re.findall(r"#(\d+)\s+DONE", told)
    assert tried, told[-2000:]
    tell(f"fuzzed inputs to the reader of {reader}: {tried[-1]}")


@NEEDS_ATHERIS
def test_the_fuzzer_finds_a_planted_fault(tmp_path: Path, project_root: Path) -> None:
    code, told = fuzzed("planted", [b"1:10"], tmp_path, project_root)
    assert code != 0
    assert "the planted fault" in told

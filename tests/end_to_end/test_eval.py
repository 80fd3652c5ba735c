"""``headscope eval``: a benchmark with and without a head, paired item by item, from the command line to the table."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import headscope as hs
from headscope.cli import eval as eval_command
from headscope.cli.commands import OFFERED
from headscope.heads import Head
from headscope.measure.benchmarks import find_benchmarks
from headscope.models.loading import load_model
from headscope.runs.folder import Run
from headscope.settings.evaluating import Evaluating
from headscope.study import Study
from headscope.verbs.evaluate import evaluate
from headscope.verbs.making_edits import edit as edit_of
from headscope.worlds import designs
from headscope.worlds.hand_set import make_model
from headscope.worlds.texts import COPIED, FRAMES, make_profile, make_tokenizer
from tests.end_to_end.conftest import Outcome
from tests.lm_eval_tasks import metric, offline, write_choices, write_texts

COPIER, DECOY = "2:1", "1:0"
Type = Callable[..., Outcome]


@pytest.fixture
def tasks(tmp_path: Path) -> Iterator[Path]:
    """A multiple choice of eight items and a text that must match, for the bundled model."""
    words = ("river", "garden", "morning", "letter", "window", "market", "silver", "winter")
    rows = [{"text": f"I saw the {w}", "choices": ["today", "of"], "target": i % 2} for i, w in enumerate(words)]
    write_choices(tmp_path / "tasks", "choices", rows)
    write_texts(tmp_path / "tasks", "texts", [{"text": "Good morning, dear", "target": "friend"}])
    with offline(tmp_path / "cache"):
        yield tmp_path / "tasks"


def test_a_head_that_copies_names_is_missed_by_a_benchmark_of_names_and_a_decoy_is_not(tmp_path: Path) -> None:
    """Which of two names stood in the text? Without the copier nothing tells them apart."""
    rows: list[dict[str, Any]] = []
    for t, name in enumerate(COPIED):
        other = COPIED[(t + 5) % len(COPIED)]
        text = FRAMES[t % len(FRAMES)].format(name=name, slot="tall")
        rows.append({"text": text, "choices": [other, name] if t % 2 else [name, other], "target": t % 2})
    write_choices(tmp_path / "tasks", "names", rows, metric_list=[metric("acc"), metric("f1", aggregation="f1")])
    heads = {COPIER: designs.copier(3.0), DECOY: designs.names_decoy()}
    placed = {Head(*map(int, name.split(":"))): design for name, design in heads.items()}
    model = load_model(make_model("names", placed), tokenizer=make_tokenizer(), device="cpu")
    study = Study(model, make_profile())
    with offline(tmp_path / "cache"):
        found = find_benchmarks("names", tmp_path / "tasks")
        results = {
            (heads, edit): evaluate(
                study, found, Evaluating(tasks="names"), edit_of(study, heads, kind=edit), bos="always"
            )
            for heads, edit in ((COPIER, "zero"), (COPIER, "mean"), (DECOY, "zero"))
        }
    for edit in ("zero", "mean"):
        row = results[COPIER, edit].table.set_index("metric").loc["acc"]
        assert row["baseline_mean"] == 1.0
        assert row["estimate"] < 0.0
        assert row["p_value"] < 0.05
    unmoved = results[DECOY, "zero"].table.set_index("metric").loc["acc"]
    assert (unmoved["estimate"], unmoved["p_value"]) == (0.0, 1.0)
    corpus = results[COPIER, "zero"].table.set_index("metric").loc["f1"]
    assert corpus["estimate"] < 0.0
    assert np.isnan(corpus["p_value"])
    assert "not their mean" in corpus["note"]


def test_the_command_prints_a_paired_difference_and_keeps_it_with_its_items(headscope: Type, tasks: Path) -> None:
    words = ("eval", "--model", "demo", "--tasks", "choices, texts", "--include-path", tasks, "--batch-size", 4)
    done = headscope(*words, "--heads", "*", "--out", "run")
    assert done.code == 0, done.err
    assert "Benchmarks, edited − unedited" in done.out
    assert "benchmark texts begin without a BOS" in done.err
    run = Run.open("run")
    table, items = run.table("evaluation"), run.table("evaluation_items")
    assert list(table["task"]) == ["choices", "texts"]
    for _, row in table.iterrows():
        mine = items[(items["task"] == row["task"]) & (items["metric"] == row["metric"])]
        lost, won = ((mine["edited"] - mine["baseline"] == step).sum() for step in (-1, 1))
        assert (row["n_only_baseline_right"], row["n_only_edited_right"], row["n_items"]) == (lost, won, len(mine))
        assert row["estimate"] == pytest.approx((won - lost) / len(mine))
        if len(mine) > 5:
            assert row["p_value"] == pytest.approx(min(1.0, 2 * stats.binom.cdf(min(lost, won), lost + won, 0.5)))
        else:
            assert np.isnan(row["p_value"])
            assert "fewer than 6 items" in row["note"]
    record: Any = run.manifest.record["eval"]
    assert record["n_fewshot"] == {"choices": 0, "texts": 0}
    assert run.manifest.request.options["task_identity"] == record["tasks"]
    for each in getattr(eval_command.eval, OFFERED):
        if each.option.request == "options":
            assert each.field in run.manifest.request.options, each.field
    assert headscope("report", "run", "--language", "en").code == 0
    for name in ("report.md", "evidence.md"):
        report = Path("run", name).read_text(encoding="utf-8")
        assert report.startswith(("# Benchmarks of demo", "# Evidence: Benchmarks of demo"))
        assert "fewer than 6 items" in report
    again = headscope(*words, "--heads", "*", "--out", "again")
    assert again.code == 0
    for name in ("evaluation", "evaluation_items"):
        first, second = (Path(folder, "tables", f"{name}.csv").read_bytes() for folder in ("run", "again"))
        assert first == second


def test_an_edit_that_changes_nothing_changes_no_item(headscope: Type, tasks: Path) -> None:
    words = ("eval", "--model", "demo", "--tasks", "choices", "--include-path", tasks, "--json")
    done = headscope(*words, "--heads", "*", "--edit", "scale", "--factor", 1, "--out", "same")
    [row] = done.json["evaluation"]
    assert (row["estimate"], row["p_value"], row["edit"]) == (0.0, 1.0, "scale 1")
    items = Run.open("same").table("evaluation_items")
    assert (items["baseline"] == items["edited"]).all()
    # Twice an output of nothing is what zero leaves.
    halves = [
        headscope(*words, "--heads", "1:2", *edit, "--out", f"out{i}").json["evaluation"][0]["edited_mean"]
        for i, edit in enumerate((("--edit", "scale", "--factor", 0), ("--edit", "zero")))
    ]
    assert halves[0] == halves[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--tasks choicse --heads 0:0", r'task "choicse" does not exist(?s:.*)near to it: choices'),
        ("--tasks choices --heads 9:9", "head"),
        ("--tasks choices --heads 0:0 --edit scale", "a factor belongs to the edit scale"),
        ("--tasks choices --heads 0:0 --factor 2", "a factor belongs to the edit scale"),
        ("--tasks choices --heads 0:0 --edit scale --factor nan", "not a finite number"),
        ("--tasks choices", "--edit-file"),
        ("--tasks choices --heads 0:0 --edit-file off.safetensors", "--edit-file, which says it all"),
        ("--tasks choices --heads 0:0 --profile emotions", "--profile is not used with --edit zero"),
    ],
)
def test_what_cannot_be_asked_is_told_and_nothing_is_written(
    headscope: Type, tasks: Path, words: str, said: str
) -> None:
    done = headscope("eval", "--model", "demo", *words.split(), "--include-path", tasks, "--out", "run")
    assert done.code == 2
    assert re.search(said, done.err), done.err
    assert not Path("run").exists()


def test_without_lm_eval_it_says_what_to_install(headscope: Type, tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval.models.huggingface", None)
    done = headscope("eval", "--model", "demo", "--heads", "0:0", "--tasks", "choices", "--out", "run")
    assert done.code == 2
    assert 'pip install "headscope[eval]"' in done.err
    assert not Path("run").exists()
    with pytest.raises(hs.errors.RequestError, match="lm-eval is not installed"):
        hs.eval_model(None)  # type: ignore[arg-type]

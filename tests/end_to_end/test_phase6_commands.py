"""The study's commands, as its users type them, on the bundled model and on a local folder."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headscope.cli.exits import run_and_exit
from headscope.profiles.loading import load_profile
from headscope.runs.phase6 import read_ablation
from tests.end_to_end.conftest import Outcome, ended

ROOT = Path(__file__).resolve().parents[2]
SCORE_KEYS = {
    "layer", "head", "delta_attn", "emotion_mean_attn", "neutral_mean_attn", "samples_emotion", "samples_neutral",
    "emotion",
}  # fmt: skip


def _run(folder: Path, module: str, *arguments: str) -> Outcome:
    """In this process, so that torch is imported once."""
    app, name = importlib.import_module(module).app, module.rpartition(".")[2]
    with contextlib.chdir(folder):
        return ended(lambda: run_and_exit(app, name), module, *arguments)


def _typed(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, as its users do."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", module, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def _done(folder: Path, module: str, *arguments: str) -> Outcome:
    done = _run(folder, module, *arguments)
    assert done.code == 0, done.err
    return done


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the three commands were run with the bundled model."""
    folder = tmp_path_factory.mktemp("study")
    scores = "results/baseline/alignment/head_scores_demo.json"
    ablation = "results/baseline/patching/head_ablation/demo_gratitude_1_2.pkl"
    screened = _done(
        folder, "src.analysis.head_screening", "--model", "demo", "--profile", "baseline", "--output", scores
    )
    (folder / "warnings.txt").write_text(screened.err)
    _done(
        folder, "src.models.head_ablation", "--model", "demo", "--profile", "baseline", "--head-spec", "1:2",
        "--emotion", "gratitude", "--max-tokens", "15", "--output", ablation,
    )  # fmt: skip
    _done(
        folder, "src.visualization.head_plots", "--profile", "baseline", "--head-scores", scores,
        "--ablation-file", ablation, "--output-dir", "results/baseline/plots/heads", "--top-n", "20",
    )  # fmt: skip
    return folder


def test_head_scores_are_in_the_studys_schema_and_order(work: Path) -> None:
    content = json.loads((work / "results/baseline/alignment/head_scores_demo.json").read_text())
    assert (content["model"], content["layers"], content["heads_per_layer"]) == ("demo", 4, 4)
    rows = content["scores"]
    assert all(set(row) >= SCORE_KEYS for row in rows)
    order = [(row["emotion"], row["layer"], row["head"]) for row in rows]
    emotions = ("gratitude", "anger", "apology")
    assert order == [(emotion, layer, head) for emotion in emotions for layer in range(4) for head in range(4)]
    assert {(row["samples_emotion"], row["samples_neutral"]) for row in rows} == {(70, 70)}
    for row in rows:
        difference = row["emotion_mean_attn"] - row["neutral_mean_attn"]
        assert row["delta_attn"] == pytest.approx(difference, abs=1e-9)


def test_screening_is_the_studys_protocol_and_says_what_that_is_worth(work: Path) -> None:
    content = json.loads((work / "results/baseline/alignment/head_scores_demo.json").read_text())
    assert content["protocol"] == "phase6"
    assert set(content["coverage"]) == {"gratitude", "anger", "apology"}
    assert {"versions", "fingerprints"} <= set(content)
    warnings = (work / "warnings.txt").read_text()
    assert "--protocol matched" in warnings
    assert "of 70 prompts" in warnings


def test_the_ablation_pickle_is_the_studys_plain_dict(work: Path) -> None:
    path = work / "results/baseline/patching/head_ablation/demo_gratitude_1_2.pkl"
    with path.open("rb") as file:
        content = pickle.load(file)
    assert content["model"] == "demo"
    assert content["heads"] == [(1, 2)]
    prompts = [prompt.text for prompt in load_profile("baseline").prompts_of("gratitude")]
    assert content["prompts"] == prompts
    for arm in ("baseline", "ablation"):
        texts = content[f"{arm}_texts"]
        assert all(text.startswith(prompt) for text, prompt in zip(texts, prompts, strict=True))
        metrics = content[f"{arm}_metrics"]
        assert set(metrics["keyword_counts"]) == {"gratitude", "anger", "apology"}
        assert set(metrics["keyword_counts"]["anger"]) == {"mean", "std", "total"}
        assert set(metrics["sentiment"]) == {"mean", "std"}
        counted = metrics["keyword_counts"]["gratitude"]
        # By the study's own counting nearly every prompt brings its keyword along; headscope's counts stand beside it.
        assert counted["total"] >= 60
        assert metrics["keyword_counts_continuation"]["gratitude"]["total"] < counted["total"]
        assert counted["mean"] == pytest.approx(counted["total"] / 70)
    assert content["edit"] == "zero_keep_bias"
    assert content["sampling"]["stop_at_eos"] is False
    assert read_ablation(path).heads == [(1, 2)]


def test_pictures_have_the_studys_names(work: Path) -> None:
    folder = work / "results/baseline/plots/heads"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        f"{name}.{kind}"
        for name in ("head_reaction_heatmap", "top_heads", "ablation_comparison")
        for kind in ("png", "svg")
    }
    assert all(path.stat().st_size > 1000 for path in folder.iterdir())


def test_published_figures_stand_beside_measured_ones_and_differ_for_another_model(work: Path) -> None:
    scores = "results/baseline/alignment/head_scores_demo.json"
    printed = _done(work, "src.analysis.compare_published", "--head-scores", scores).out
    rows = [
        line.split() for line in printed.splitlines() if line.split()[:1] in (["gratitude"], ["anger"], ["apology"])
    ]
    assert len(rows) == 432
    assert ["gratitude", "1:10", "+0.340434", "–", "–", "no"] in rows
    measured = [row for row in rows if row[3] != "–"]
    assert len(measured) == 48
    assert sum(row[5] == "no" for row in measured) >= 40
    assert "384 are not in" in printed.splitlines()[-1]


def test_the_report_is_written_from_what_the_three_commands_wrote(work: Path) -> None:
    scores = "results/baseline/alignment/head_scores_demo.json"
    ablation = "results/baseline/patching/head_ablation/demo_gratitude_1_2.pkl"
    asked = (
        "--profile", "baseline", "--head-scores", scores, "--ablation-file", ablation,
        "--plots-dir", "results/baseline/plots/heads", "--output", "docs/report/phase6_head_screening_report.md",
    )  # fmt: skip
    first = _done(work, "src.reporting.phase6_report", *asked)
    path = work / "docs/report/phase6_head_screening_report.md"
    assert "docs/report/phase6_head_screening_report.md" in first.out
    japanese = path.read_text(encoding="utf-8")
    assert "## 10. 考察" in japanese
    for link in re.findall(r"!\[[^]]*\]\(([^)]*)\)", japanese):
        assert (path.parent / link).is_file()
    assert japanese.count("![") == 3
    totals = read_ablation(work / ablation)
    arms = (totals.baseline_metrics, totals.ablation_metrics)
    assert " → ".join(str(arm.keyword_counts["gratitude"].total) for arm in arms) in japanese
    _done(work, "src.reporting.phase6_report", *asked, "--language", "en")
    assert "## 10. Discussion" in path.read_text(encoding="utf-8")
    path.write_text("# My own words\n")
    refused = _run(work, "src.reporting.phase6_report", *asked)
    assert (refused.code, "did not write" in refused.err) == (2, True)
    assert path.read_text() == "# My own words\n"


@pytest.mark.oracle
def test_the_three_commands_run_word_for_word(shared: Path, tmp_path: Path) -> None:
    """As they stand in the study's page; `gpt2` is a folder of that name here, a GPT-2 that has a head 1:10."""
    page = (shared / "phase6.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    commands = [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]
    assert [command[:2] for command in commands] == [["python", "-m"]] * 3
    shutil.copytree(shared / "models" / "chat-gpt2-3M", tmp_path / "gpt2")
    for command in commands:
        typed = _typed(tmp_path, *command[2:])
        assert typed.returncode == 0, typed.stderr
    made = {str(path.relative_to(tmp_path / "results")) for path in (tmp_path / "results").rglob("*.*")}
    assert made >= {
        "baseline/alignment/head_scores_gpt2.json",
        "baseline/patching/head_ablation/gpt2_gratitude_1_10.pkl",
        "baseline/plots/heads/head_reaction_heatmap.png",
        "baseline/plots/heads/ablation_comparison.png",
    }
    scores = json.loads((tmp_path / "results/baseline/alignment/head_scores_gpt2.json").read_text())
    assert (scores["model"], scores["layers"], scores["heads_per_layer"]) == ("gpt2", 8, 16)
    assert len(scores["scores"]) == 3 * 8 * 16
    ablation = read_ablation(tmp_path / "results/baseline/patching/head_ablation/gpt2_gratitude_1_10.pkl")
    assert (ablation.model, ablation.heads, len(ablation.prompts)) == ("gpt2", [(1, 10)], 70)


def test_gpt2_without_a_hub_gets_one_sentence_with_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # read where the hub's client is imported
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    refused = _typed(tmp_path, "src.analysis.head_screening", "--model", "gpt2", "--profile", "baseline")
    assert refused.returncode == 2
    assert all(way in refused.stderr for way in ("--model demo", "folder", "HF_HOME")), refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.oracle
def test_the_published_figures_agree_with_the_studys_file(work: Path, shared: Path) -> None:
    study = shared / "reference" / "phase6" / "head_scores_gpt2.json"
    printed = _done(work, "src.analysis.compare_published", "--head-scores", str(study), "--tolerance", "1e-6").out
    assert printed.splitlines()[-1].startswith("432 of 432 figures of gpt2 agree")


@pytest.mark.oracle
def test_the_report_on_the_studys_scores_has_its_published_heads(shared: Path, tmp_path: Path) -> None:
    study = str(shared / "reference" / "phase6" / "head_scores_gpt2.json")
    _done(tmp_path, "src.reporting.phase6_report", "--head-scores", study, "--output", "r.md", "--language", "en")
    report = (tmp_path / "r.md").read_text(encoding="utf-8")
    page = (shared / "phase6.md").read_text(encoding="utf-8")
    [listed] = re.findall(r"Gratitude top-10: (.*?)\. Anger top", page)
    published = re.findall(r"(\d+):(\d+) (\.\d+) \((\.\d+)/(\.\d+)\)", listed)
    rows = re.findall(r"\| (\d+) \| L(\d+)H(\d+) \| (\S+) \| (\S+) \| (\S+) \|", report.partition("### gratitude")[2])
    assert len(published) == 10
    for rank, (figures, row) in enumerate(zip(published, rows, strict=False), start=1):
        assert row[:3] == (str(rank), *figures[:2])
        # Half of the last decimal of the report, and of the page.
        assert list(map(float, row[3:])) == pytest.approx(list(map(float, figures[2:])), abs=0.5e-4 + 0.5e-6)
    overall = re.findall(r"\| \d \| L(\d+)H(\d+) \| (\S+) \|\n", report.partition("## 7.")[2].partition("## 8.")[0])
    assert overall[:3] == [("1", "10", "0.1195"), ("3", "2", "0.1097"), ("1", "11", "0.0788")]
    assert "no interval" in report
    assert "no rank shows that a head causes anything" in report


@pytest.mark.oracle
def test_the_studys_own_files_are_drawn(work: Path, shared: Path) -> None:
    study = str(shared / "reference" / "phase6" / "head_scores_gpt2.json")
    _done(work, "src.visualization.head_plots", "--head-scores", study, "--output-dir", "drawn")
    assert (work / "drawn" / "head_reaction_heatmap.png").stat().st_size > 1000


def test_a_studys_pickle_without_intervals_is_drawn(tmp_path: Path) -> None:
    metrics = {
        "keyword_counts": {"gratitude": {"mean": 1.1, "std": 0.3, "total": 78}},
        "sentiment": {"mean": 0.0, "std": 0.0},
    }
    content = {
        "model": "gpt2", "heads": [(1, 10)], "prompts": ["Thank you"], "baseline_texts": ["Thank you so"],
        "ablation_texts": ["Thank you all"], "baseline_metrics": metrics, "ablation_metrics": metrics,
    }  # fmt: skip
    (tmp_path / "study.pkl").write_bytes(pickle.dumps(content))
    _done(tmp_path, "src.visualization.head_plots", "--ablation-file", "study.pkl", "--output-dir", "drawn")
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {
        "ablation_comparison.png",
        "ablation_comparison.svg",
    }


def test_a_local_folder_default_paths_and_several_heads(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "headscope" / "models" / "demo", tmp_path / "models" / "mine")
    (tmp_path / "few.json").write_text(
        json.dumps({"prompts": ["I am grateful today.", "Thank you all for coming here."]})
    )
    screened = _done(tmp_path, "src.analysis.head_screening", "--model", "models/mine")
    assert "results/baseline/alignment/head_scores_mine.json" in screened.out
    _done(
        tmp_path, "src.models.head_ablation", "--model", "models/mine", "--head-spec", "3:2, 1:1", "--emotion",
        "gratitude", "--prompts-file", "few.json", "--max-tokens", "3",
    )  # fmt: skip
    content = read_ablation(tmp_path / "results/baseline/patching/head_ablation/mine_gratitude_1_1-3_2.pkl")
    assert content.heads == [(1, 1), (3, 2)]
    assert content.prompts == ["I am grateful today.", "Thank you all for coming here."]


def test_a_named_file_goes_before_the_data_folder_which_goes_before_the_profile(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name, n in (("gratitude", 2), ("anger", 3), ("apology", 4), ("neutral", 5)):
        texts = [f"Sentence number {i} of {name} stands here." for i in range(n)]
        (tmp_path / "data" / f"{name}_prompts.json").write_text(json.dumps({"prompts": texts}))
    (tmp_path / "mine.json").write_text(json.dumps({"prompts": [f"So angry, day {i}." for i in range(6)]}))
    _done(
        tmp_path, "src.analysis.head_screening", "--model", "demo", "--data-dir", "data",
        "--anger-prompts", "mine.json", "--output", "scores.json",
    )  # fmt: skip
    rows = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert {(row["emotion"], row["samples_emotion"], row["samples_neutral"]) for row in rows} == {
        ("gratitude", 2, 5),
        ("anger", 6, 5),
        ("apology", 4, 5),
    }


@pytest.mark.parametrize(
    ("module", "arguments", "word"),
    [
        ("src.analysis.head_screening", ("--model", "demo", "--anger-prompts", "gone.json"), "gone.json"),
        ("src.analysis.head_screening", ("--model", "demo", "--output", "scores.csv"), ".json"),
        ("src.models.head_ablation", ("--model", "demo", "--head-spec", "99:0"), "99:0 does not exist"),
        ("src.models.head_ablation", ("--model", "demo", "--head-spec", "1:2", "--emotion", "joy"), '"joy"'),
        ("src.visualization.head_plots", (), "nothing to draw"),
        ("src.analysis.compare_published", ("--head-scores", "gone.json"), "gone.json"),
        ("src.reporting.phase6_report", ("--head-scores", "gone.json"), "gone.json"),
        ("src.reporting.phase6_report", ("--head-scores", "s.json", "--output", "r.html"), ".md"),
        ("src.reporting.phase6_report", ("--head-scores", "s.json", "--language", "fr"), "fr"),
    ],
)
def test_a_wrong_request_is_refused(module: str, arguments: tuple[str, ...], word: str, tmp_path: Path) -> None:
    refused = _run(tmp_path, module, *arguments)
    assert refused.code == 2
    assert word in refused.err
    assert "Traceback" not in refused.err
    assert list(tmp_path.iterdir()) == []

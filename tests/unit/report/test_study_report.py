"""The report on the study's files tells what they hold, says what they do not, and refuses what contradicts itself."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from headscope.errors import RequestError
from headscope.report.study import study_report
from headscope.report.study_files import read_study
from headscope.report.words import languages

# concept -> Δ of heads 0:0, 0:1, 1:0, 1:1
DELTAS = {"joy": (0.5, -0.75, 0.25, 0.125), "anger": (0.25, 0.5, -0.25, 0.0)}


def scores(**changes: Any) -> dict[str, Any]:
    rows = [
        {
            "layer": at // 2, "head": at % 2, "delta_attn": delta, "emotion_mean_attn": 0.25 + delta,
            "neutral_mean_attn": 0.25, "samples_emotion": 7, "samples_neutral": 9, "emotion": concept,
        }
        for concept, deltas in DELTAS.items()
        for at, delta in enumerate(deltas)
    ]  # fmt: skip
    return {"model": "tiny", "layers": 2, "heads_per_layer": 2, "scores": rows, **changes}


def metrics(total: int, *, mean: float = 0.5, std: float = 0.25) -> dict[str, Any]:
    return {
        "keyword_counts": {"joy": {"mean": total / 2, "std": 0.5, "total": total}},
        "sentiment": {"mean": mean, "std": std},
    }


def ablation(**changes: Any) -> dict[str, Any]:
    """As the study wrote it."""
    return {
        "model": "tiny", "heads": [(0, 1), (1, 0)], "prompts": ["a", "b"], "baseline_texts": ["a c", "b c"],
        "ablation_texts": ["a d", "b d"], "baseline_metrics": metrics(8), "ablation_metrics": metrics(6), **changes,
    }  # fmt: skip


def with_test(low: float, high: float) -> dict[str, Any]:
    effect = {
        "concept": "joy", "outcome": "keyword_count_phase6_joy", "estimate": (low + high) / 2, "baseline_mean": 4.0,
        "edited_mean": 3.0, "ci_low": low, "ci_high": high, "p_value": 0.25,
    }  # fmt: skip
    other = {**effect, "concept": "neutral", "outcome": "perplexity_ratio", "estimate": 77.0}
    return {"edit": "zero_keep_bias", "concepts": ["joy"], "keyword_counting": "phase6", "effects": [effect, other],
            "seed": 3, "sampling": {"max_tokens": 15, "temperature": 1.0, "top_p": 0.9}}  # fmt: skip


def report(
    folder: Path, content: dict[str, Any], *ablations: dict[str, Any], language: str = "en", top_n: int = 2
) -> str:
    (folder / "s.json").write_text(json.dumps(content))
    paths = [folder / f"a{number}.pkl" for number in range(len(ablations))]
    for path, one in zip(paths, ablations, strict=True):
        path.write_bytes(pickle.dumps(one))
    figures = {"plots/top_heads.png": "here/plots/top_heads.png"}
    files = read_study(folder / "s.json", paths, figures=figures, profile="baseline", command="python -m it")
    return study_report(files, language, top_n)


def section(text: str, number: int) -> str:
    return text.partition(f"## {number}. ")[2].partition(f"## {number + 1}. ")[0]


def test_heads_stand_by_signed_difference_with_both_means(tmp_path: Path) -> None:
    told = section(report(tmp_path, scores()), 5)
    joy, anger = told.partition("### joy")[2].split("### anger")
    assert re.findall(r"\| (\d) \| (\w+) \| (\S+) \| (\S+) \| (\S+) \|", joy) == [
        ("1", "L0H0", "0.5000", "0.7500", "0.2500"),
        ("2", "L1H0", "0.2500", "0.5000", "0.2500"),
    ]
    assert "| 1 | L0H1 | 0.5000 |" in anger
    assert "95 % CI" not in told
    assert "no interval" in told


def test_ranking_and_layers_are_means_over_concepts(tmp_path: Path) -> None:
    told = report(tmp_path, scores())
    assert re.findall(r"\| \d \| (\w+) \| (\S+) \|", section(told, 7)) == [("L0H0", "0.3750"), ("L1H1", "0.0625")]
    assert "| 0 | 2 | 0.1250 | 0.2500 | 0.3750 | L0H0 |" in section(told, 8)
    assert "headscope patch --model tiny --profile baseline --heads 0:0,1:1\n" in section(told, 11)


def test_the_studys_ablation_has_no_interval_and_says_so(tmp_path: Path) -> None:
    told = report(tmp_path, scores(), ablation())
    assert "| keywords: joy, mean | 4.0000 | 3.0000 | −1.0000 | 8 → 6 |" in section(told, 6)
    assert "no interval and no p" in section(told, 6)
    assert "The file holds no test of these differences." in section(told, 10)
    assert "does not say its seed" in section(told, 12)
    assert "edit: not in the file" in section(told, 4)
    assert "does not say how keywords were counted" in section(told, 10)
    assert "95 %" not in told
    counted = report(tmp_path, scores(), ablation(keyword_counting="phase6"))
    assert "Keywords that stand in the prompts are counted" in section(counted, 10)


@pytest.mark.parametrize(("low", "high", "shown"), [(-2.0, 1.0, False), (-2.0, -0.5, True), (-2.0, 0.0, False)])
def test_a_tested_difference_is_told_by_its_interval(low: float, high: float, shown: bool, tmp_path: Path) -> None:
    told = report(tmp_path, scores(), ablation(**with_test(low, high)))
    assert ("it does not hold 0 (p = 0.250)" in section(told, 10)) == shown
    assert ("no difference is shown" in section(told, 10)) != shown
    row = next(line for line in section(told, 6).splitlines() if line.startswith("| keywords: joy, mean"))
    assert row.endswith("0.250 |")
    assert "no interval and no p" not in told
    assert "77" not in section(told, 6)
    assert "seed 3" in section(told, 4)
    assert "does not say its seed" not in told


def test_the_studys_screen_is_called_confounded_and_another_is_not(tmp_path: Path) -> None:
    assert "unpaired" in section(report(tmp_path, scores()), 5)
    matched = report(tmp_path, scores(protocol="matched"))
    assert "unpaired" not in matched
    assert "A large Δ may be that alone" not in matched
    for told in (report(tmp_path, scores()), matched):
        assert "no rank shows that a head causes anything" in section(told, 10).lower()


def test_silent_sentiment_and_other_models_are_told(tmp_path: Path) -> None:
    silent = {f"{arm}_metrics": metrics(1, mean=0.0, std=0.0) for arm in ("baseline", "ablation")}
    assert "it shows nothing" in section(report(tmp_path, scores(), ablation(**silent)), 10)
    assert "it shows nothing" not in report(tmp_path, scores(), ablation())
    assert "different models (`tiny`, `huge`)" in report(tmp_path, scores(), ablation(model="huge"))


def test_coverage_is_told_where_the_file_has_it(tmp_path: Path) -> None:
    covered = {"joy": {"n_prompts": 7, "n_spans": 3, "note": "3 of 7"}}
    told = report(tmp_path, scores(coverage=covered, warnings=["3 of 7", "mind the gap"]))
    assert "found in 3 of 7 prompts" in section(told, 10)
    assert "mind the gap" in section(told, 12)
    assert "`: 3 of 7" not in section(told, 12)


@pytest.mark.parametrize("language", languages())
def test_every_language_has_the_sections_in_the_studys_order(language: str, tmp_path: Path) -> None:
    told = report(tmp_path, scores(), ablation(), ablation(**with_test(-1.0, 1.0)), language=language)
    headings = re.findall(r"^## (\d+)\. \S", told, re.MULTILINE)
    assert headings == [str(number) for number in range(1, 13)]
    assert "![" in section(told, 9)
    assert "](plots/top_heads.png)" in section(told, 9)
    assert "here/plots/top_heads.png" in section(told, 2)
    assert "{" not in told


def test_what_a_file_says_cannot_change_the_report(tmp_path: Path) -> None:
    hostile = "x|y\n## 3. <b>mine</b> `"
    rows = [{**row, "emotion": hostile} for row in scores()["scores"][:4]]
    told = report(tmp_path, scores(scores=rows, model=hostile), ablation(model=hostile, edit=hostile))
    outside_code = re.sub(r"^```bash\n.*?\n```$", "", told, flags=re.MULTILINE | re.DOTALL)
    assert outside_code.count("mine") > 3
    assert len(re.findall(r"^## ", outside_code, re.MULTILINE)) == 12
    assert "<b>" not in re.sub(r"`+ .*? `+", "", outside_code)


@pytest.mark.parametrize(
    ("content", "one", "words"),
    [
        ({"scores": []}, {}, ("hold no scores", "s.json")),
        ({"scores": scores()["scores"] * 2}, {}, ("a head twice", "joy, 0:0")),
        ({"scores": [{**scores()["scores"][0], "delta_attn": None}]}, {}, ("hold no scores",)),
        ({"coverage": {"joy": 1.0}}, {}, ("coverage.joy", "s.json")),
        ({}, {"heads": [(2, 0)]}, ("heads that the scored model does not have", "2:0", "a0.pkl")),
        ({}, {"heads": []}, ("ablation is empty", "0 heads")),
        ({}, {"prompts": [], "baseline_texts": [], "ablation_texts": []}, ("ablation is empty", "0 prompts")),
        ({}, {"effects": [{"concept": "joy"}]}, ("effects", "a0.pkl")),
        ({}, {"effects": [{"concept": "joy", "outcome": "o", "estimate": "much"}]}, ("estimate", "much")),
        ({}, {"sampling": "as usual"}, ("sampling", "as usual")),
    ],
)
def test_files_that_contradict_themselves_are_refused(
    content: dict[str, Any], one: dict[str, Any], words: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(RequestError) as refused:
        report(tmp_path, scores(**content), ablation(**one))
    assert all(word in str(refused.value) for word in words), refused.value

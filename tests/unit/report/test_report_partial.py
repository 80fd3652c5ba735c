"""A run's report after each of its stages: what there is is told, what is to come stands in one table alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import headscope as hs
from headscope.plots.effect_heatmap import effect_heatmap
from headscope.plots.selecting import concepts_of
from headscope.plots.writing import plots_of
from headscope.report import render_evidence, render_markdown, render_page
from headscope.report.page import REFRESH_SECONDS
from headscope.report.progress import duration
from headscope.report.words import words_of
from headscope.report.writing import facts_from, readable_tables, write_report
from headscope.runs.folder import Run
from headscope.runs.manifest import Request
from headscope.stats.ranking import single_effects
from headscope.terms import AGREEING_EDIT
from tests.small_world import small_model, small_profile
from tests.unit.report.fake_tables import facts_of_verb, fake_facts, fake_tables
from tests.unit.report.partial_runs import STAGES, small_heads, stages_after, tables_after

Tables = dict[str, pd.DataFrame]
Render = Callable[[Tables, dict[str, Any], str], str]
LANGUAGES = ("en", "ja")
HEADING = re.compile(r"^(#+) (.*)$")
PARTIAL = (None, *STAGES[:-1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tables, dict[str, Any]]:
    """Tables and manifest of a whole run of a small model."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("headscope.pipeline.line.write_plots", lambda *_: None)
        run = hs.run(small_model(), small_profile(), folder, n_random=3, max_tokens=2, languages=("en",))
    return readable_tables(run)[0], facts_from(run)


def _after(whole: tuple[Tables, dict[str, Any]], last: str | None, **more: Any) -> tuple[Tables, dict[str, Any]]:
    """Tables and manifest when the stage ``last`` is done; None: when none is."""
    tables, facts = whole
    left = {} if last is None else tables_after(tables, last)
    judged = last is not None and STAGES.index(last) >= STAGES.index("verdicts")
    sweep = {"not_measured": len(small_heads(tables))} if judged else {}
    record = {**facts["record"], "sweep": sweep}
    return left, {**facts, "status": "running", "stages": stages_after(last), "record": record, **more}


def _sections(report: str) -> list[tuple[int, str, str]]:
    """Level, title and text of each heading, up to the next one."""
    found: list[tuple[int, str, list[str]]] = []
    fenced = False
    for line in report.splitlines():
        fenced ^= line.startswith("```")
        if (heading := HEADING.match(line)) and not fenced:
            found.append((len(heading[1]), heading[2], []))
        else:
            found[-1][2].append(line)
    return [(level, title, "\n".join(lines).strip()) for level, title, lines in found]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("last", PARTIAL)
@pytest.mark.parametrize("render", [render_evidence, render_markdown])
def test_no_heading_is_empty_and_nothing_is_called_missing(
    whole: Any, render: Render, last: str | None, language: str
) -> None:
    report = render(*_after(whole, last), language)
    sections = _sections(report)
    for (level, title, text), following in zip(sections, [*sections[1:], (0, "", "")], strict=True):
        assert text or following[0] > level, title
    for claim in {
        "en": ("is missing", "in this run (", "Not in this run folder", "in this run.", "was not recorded"),
        "ja": ("がない）", "この実行では", "この実行フォルダにない表", "この実行には", "記録されていない"),
    }[language]:
        assert claim not in report


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("last", PARTIAL)
def test_the_table_of_stages_tells_each_once(whole: Any, last: str | None, language: str) -> None:
    words = words_of(language)
    tables, facts = _after(whole, last)
    (told,) = [text for _, title, text in _sections(render_evidence(tables, facts, language))
               if title == words("progress.title")]  # fmt: skip
    rows = [line for line in told.splitlines() if line.startswith("| ")][1:]
    for row, stage in zip(rows, facts["stages"], strict=True):
        assert words.known("stages", stage["name"]) in row
        assert words.known("stage_statuses", stage["status"]) in row
    now = next(stage["name"] for stage in facts["stages"] if stage["status"] == "running")
    assert words("progress.running", stage=words.known("stage_names", now)) in told


@pytest.mark.parametrize("last", STAGES[:-1])
def test_both_languages_say_the_same_numbers_of_a_part(whole: Any, last: str) -> None:
    tables, facts = _after(whole, last)
    numbers = [set(re.findall(r"\d+\.\d+", render_evidence(tables, facts, language))) for language in LANGUAGES]
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("last", STAGES[:-1])
def test_what_was_measured_is_told(whole: Any, last: str) -> None:
    """Each stage adds its section, and none goes again."""
    titles = {title for _, title, _ in _sections(render_evidence(*_after(whole, last), "en"))}
    expected = {
        "assay": "5. Assay", "screen": "6. Screening", "sweep": "10. Screening beside", "verdicts": "11. Verdicts",
        "texts": "7. Ablation", "patching": "14. Patching",
    }  # fmt: skip
    for stage, start in expected.items():
        assert any(title.startswith(start) for title in titles) == (STAGES.index(stage) <= STAGES.index(last)), start


def test_a_headline_says_no_more_than_was_measured(whole: Any) -> None:
    first = {last: render_evidence(*_after(whole, last), "en").split("\n\n")[1] for last in STAGES[:-1]}
    assert "No head has been looked at or removed" in first["assay"]
    assert "still to be measured" in first["screen"]
    assert "removed alone" in first["sweep"]
    assert "No head is judged yet" in first["sweep"]
    assert "judged yet" not in first["verdicts"]


def test_a_finished_run_that_did_everything_says_nothing_of_stages(whole: Any) -> None:
    tables, facts = whole
    staged = {**facts, "stages": stages_after(STAGES[-1])}
    for language in LANGUAGES:
        assert render_evidence(tables, staged, language) == render_evidence(tables, facts, language)
    page = render_page(tables, staged)
    assert 'id="progress"' not in page
    assert 'http-equiv="refresh"' not in page


def test_a_run_whose_pictures_are_being_made_says_so(whole: Any) -> None:
    tables, facts = whole
    told = {**facts, "status": "running", "stages": stages_after(STAGES[-1])}
    for language in LANGUAGES:
        report = render_evidence(tables, told, language)
        assert words_of(language)("progress.writing") in report
        assert words_of(language)("pictures.none") not in report


def test_what_was_left_out_by_request_is_one_sentence(whole: Any) -> None:
    tables, facts = whole
    stages = [
        {**stage, "status": "left out", "why": "--no-patching"} if stage["name"] == "patching" else stage
        for stage in stages_after(STAGES[-1])
    ]
    kept = {name: table for name, table in tables.items() if name not in ("patching", "dissociation")}
    told = {**facts, "status": "finished", "stages": stages}
    report = render_evidence(kept, told, "en")
    assert "Left out of this run: the patching (--no-patching)." in report
    assert "How far this run is" not in report
    assert "Not in this run folder" not in report
    assert "Left out of this run: the patching" in render_page(kept, told)


@pytest.mark.parametrize(
    ("status", "last", "said"),
    [
        ("stopped", "sweep", "it was stopped after the sweep. The same command goes on."),
        ("stopped", None, "it was stopped before its first stage was done."),
        ("failed", "screen", "it failed after the screen."),
        ("finished", "texts", "Not reached in this run: the random sets (no time left), the patching (no time left)"),
    ],
)
def test_a_run_that_ended_early_says_how(whole: Any, status: str, last: str | None, said: str) -> None:
    stages = [
        {**stage, "status": "not reached" if status == "finished" else "to come", "why": "no time left"}
        if stage["status"] != "done"
        else stage
        for stage in stages_after(last)
    ]
    tables, facts = _after(whole, last, status=status, stages=stages)
    report, page = render_evidence(tables, facts, "en"), render_page(tables, facts)
    assert said in report
    assert said in page
    assert 'http-equiv="refresh"' not in page
    assert "| why |" in report


@pytest.mark.parametrize("last", PARTIAL)
def test_the_page_of_a_part_shows_what_it_can_fill(whole: Any, last: str | None) -> None:
    page = render_page(*_after(whole, last))
    hidden = set(re.findall(r'<section id="(\w+)" hidden', page))
    done = 0 if last is None else STAGES.index(last) + 1
    filled_by = {"heads": "screen", "looking": "sweep", "sets": "texts", "patching": "patching", "texts": "texts"}
    assert hidden - {"tables"} == {part for part, stage in filled_by.items() if STAGES.index(stage) >= done}
    for part in hidden:
        assert f'href="#{part}"' not in page.split("</nav>")[0]
    assert f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' in page
    assert page.count('id="progress"') == 1


def test_what_was_not_measured_is_blank_and_counted(whole: Any) -> None:
    """Heads whose effect is too small to matter have no second edit and no damage, which is said and never 0."""
    tables, facts = _after(whole, "verdicts")
    n_small, n_heads = len(small_heads(whole[0])), len(single_effects(tables["effects"])["heads"].unique())
    assert 0 < n_small < n_heads
    for language in LANGUAGES:
        words, report = words_of(language), render_evidence(tables, facts, language)
        assert words("judged.measured", n=n_heads - n_small, of=n_heads) in report
        assert f"ᵃ {words('missing.too_small')}" in report
        assert "| —ᵃ |" in report
        assert words("judged.measured", n=n_heads - n_small, of=n_heads) in render_page(tables, facts)


def test_a_heatmap_leaves_blank_what_was_not_measured(whole: Any) -> None:
    tables, _ = _after(whole, "verdicts")
    effects = tables["effects"]
    concept = concepts_of(single_effects(effects))[0]
    axes = effect_heatmap(effects, concept=concept, edit=AGREEING_EDIT)
    drawn = axes.collections[0].get_array()
    rows = single_effects(effects, edit=AGREEING_EDIT)
    assert drawn.shape == effect_heatmap(effects, concept=concept).collections[0].get_array().shape
    assert (~drawn.mask).sum() == (rows["concept"] == concept).sum()
    (legend,) = axes.get_figure().legends
    assert "not measured" in [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("last", STAGES)
def test_every_picture_of_a_part_can_be_drawn(whole: Any, last: str) -> None:
    tables = tables_after(whole[0], last)
    for _, draw in plots_of(tables, "model"):
        draw()


def test_the_status_of_a_run_that_is_made_is_the_one_given(tmp_path: Path) -> None:
    request = Request(verb="run", options={}, model_fingerprint="m", profile_fingerprint="p", seed=0)
    with Run.create(tmp_path / "run", request, model=fake_facts()["model"]) as made:
        made.write_table("assay", fake_tables()["assay"])
        for status, refreshes in (("running", True), ("stopped", False), ("finished", False)):
            page = write_report(made, status=status)[-1].read_text(encoding="utf-8")
            assert ('http-equiv="refresh"' in page) == refreshes
            assert (f"status: {status}" in page) == (status != "finished")


@pytest.mark.parametrize(
    ("seconds", "exact", "about"),
    [
        (0.04, "0.1 s", "about 1 s"),
        (2.44, "2.4 s", "about 2 s"),
        (47, "47 s", "about 47 s"),
        (170, "2.8 min", "about 3 min"),
        (45 * 60, "45 min", "about 45 min"),
        (3 * 3600, "3 h", "about 3 h"),
        (50 * 3600, "50 h", "about 50 h"),
    ],
)
def test_a_time_is_said_in_the_unit_one_takes_in_at_a_glance(seconds: float, exact: str, about: str) -> None:
    assert duration(seconds, words_of("en")) == exact
    assert duration(seconds, words_of("en"), about=True) == about


@pytest.mark.parametrize("render", [render_markdown, render_evidence, render_page])
def test_the_folder_of_a_single_verb_lacks_only_what_that_verb_makes(render: Callable[..., str]) -> None:
    tables, facts = fake_tables(), facts_of_verb("screen")
    screened = {name: tables[name] for name in ("coverage", "screen")}
    lacking = "Not in this run folder"
    assert lacking not in render(screened, facts, language="en")
    told = render({"screen": screened["screen"]}, facts, language="en").partition(lacking)[2][:80]
    assert "coverage" in told
    assert "verdicts" not in told
    assert lacking in render(screened, fake_facts(), language="en")  # a whole run lacks the rest

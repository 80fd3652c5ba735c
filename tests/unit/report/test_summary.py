"""The first screen alone answers which head to look at first, how sure that is, and whether the model breaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from headscope.plots.selecting import lone_effects
from headscope.report.markdown import markdown_of
from headscope.report.numbers import equation, interval, number, ratio_interval
from headscope.report.run_report import RunContent, RunReport, content_of
from headscope.report.summary import MOST_CHIPS, TOP, summary_of
from headscope.report.summary_blocks import summary_section
from headscope.report.summary_telling import MOST_TEMPLATES, Links, fine_told, told_of
from headscope.report.words import words_of
from tests.unit.report.fake_patching import fake_scores
from tests.unit.report.fake_probes import fake_probes
from tests.unit.report.fake_steering import fake_steering
from tests.unit.report.fake_tables import CONCEPTS, fake_facts, fake_tables
from tests.unit.report.first_screens import (
    CASES,
    LANGUAGES,
    PLACES,
    Tables,
    case_of,
    in_markdown,
    judged_as,
    longest,
    on_page,
    run_of,
)
from tests.unit.report.partial_runs import STAGES, stages_after, tables_after

Told = Callable[[str, str], RunReport]
MOST_WORDS = 120
MOST_LETTERS = 300
"""Of a concept in Japanese: letters, kana and kanji; figures and signs are left out, which every language shares."""

FIRST = {
    "carrier": "L2H1", "shared": "L1H1", "none": None, "undecided": "L3H0", "harm": "L1H2", "suppressor": "L1H2",
    "unshown": None, "unmeasured": None,
}  # fmt: skip
SURE = {
    "carrier": "beyond", "shared": "beyond", "none": "none", "undecided": "beyond", "harm": "beyond",
    "suppressor": "beyond",
}  # fmt: skip
HARM = {"carrier": "bounded", "shared": "bounded", "undecided": "open", "harm": "shown", "suppressor": "bounded"}


@pytest.fixture(scope="module")
def tables() -> Tables:
    return fake_tables()


@pytest.fixture(scope="module")
def told(tables: Tables) -> Callable[[str, str], RunReport]:
    """The run of a case in a language; its content is made once."""
    contents: dict[str, RunContent] = {}

    def run(case: str, language: str) -> RunReport:
        if case not in contents:
            contents[case] = content_of(longest(tables) if case == "longest" else case_of(case, tables), fake_facts())
        return contents[case].told_in(language)

    return run


@pytest.fixture(params=["page", "markdown"])
def screen(request: pytest.FixtureRequest) -> Any:
    return on_page if request.param == "page" else in_markdown


def _part(text: str, run: RunReport, key: str) -> str:
    """What stands in one row: from its label up to the next one."""
    labels = [
        re.escape(run.words(f"summary.rows.{name}"))
        for name in ("model", "heads", "sure", "together", "removed", "harm")
    ]
    own = re.escape(run.words(f"summary.rows.{key}"))
    found = re.search(rf"{own}(.*?)(?={'|'.join(labels)}|$)", text)
    return "" if found is None else found[1].strip()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", CASES)
def test_which_head_to_look_at_first(told: Told, case: str, language: str, screen: Any) -> None:
    run = told(case, language)
    text = _part(screen(run)[0], run, "heads")
    named = re.findall(r"L\d+H\d+", text)
    assert (named[0] if named else None) == FIRST[case]
    lead = {"carrier": "look", "shared": "look", "none": "nothing", "unshown": "", "unmeasured": ""}.get(
        case, "look_harmful" if case == "harm" else "look_none"
    )
    if lead:
        n = 1 if lead == "look" else 16
        assert run.words(f"summary.{lead}", n, of=16, untested="", model="") in text
    else:
        assert not text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", CASES)
def test_is_it_sure(told: Told, case: str, language: str, screen: Any) -> None:
    run = told(case, language)
    summary = summary_of(run.content, run.findings[0])
    assert summary is not None
    text, limit = _part(screen(run)[0], run, "sure"), number(run.findings[0].threshold_nats)
    if case not in SURE:
        assert not text
        return
    about = {"head": FIRST[case], "limit": limit, "ends": ""}
    if summary.sure is not None:
        about["ends"] = interval(summary.sure.low, summary.sure.high)
    assert run.words(f"summary.sure.{SURE[case]}", **about).replace("*", "") in text
    n_open = {"shared": 1, "undecided": 3}.get(case, 0)
    if case == "none":
        return  # where every head lies within, none is undecided
    assert run.words("summary.undecided.number" if n_open else "summary.undecided.none", n_open) in text
    if case == "undecided":
        assert run.words("glue.range", low="57", high=run.words("summary.over", MOST_TEMPLATES)) in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", CASES)
def test_does_it_break_the_model(told: Told, case: str, language: str, screen: Any) -> None:
    run = told(case, language)
    text = _part(screen(run)[0], run, "harm")
    if case == "unshown":
        assert not text
        return
    top = next(one for one in run.findings[0].sets if one.role == TOP)
    row = top.effect("perplexity_ratio")
    assert row is not None
    ends = ratio_interval(row.low, row.high)
    of_set = run.words("summary.harm.bounded", above="1.05", ends=ends).replace("*", "")
    assert run.words("summary.harm.of", who=run.words("summary.harm.set"), answer=of_set) in text
    if case in HARM:
        verdict = run.findings[0].verdicts
        mine = next(one for one in verdict if f"L{one['heads'].replace(':', 'H')}" == FIRST[case])
        ends = ratio_interval(mine["perplexity_ratio_low"], mine["perplexity_ratio_high"])
        answer = run.words(f"summary.harm.{HARM[case]}", above="1.05", ends=ends).replace("*", "")
        assert run.words("summary.harm.of", who=FIRST[case], answer=answer) in text


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [(0.9, 1.05, "bounded"), (1.01, 1.04, "bounded"), (0.99, 1.06, "open"), (1.01, 1.06, "shown"),
     (float("nan"), float("nan"), "unmeasured")],
)  # fmt: skip
def test_harm_has_three_answers_and_one_for_not_measured(tables: Tables, low: float, high: float, answer: str) -> None:
    changed = judged_as(tables, {"2:1": ("undecided", -2.0, 0.3, 50.0)}, (low, high))
    content = content_of(changed, fake_facts())
    summary = summary_of(content, content.findings[0])
    assert summary is not None
    assert summary.harm[0].answer == answer


@pytest.mark.parametrize(("low", "above"), [(1.01, "1"), (1.05, "1"), (1.051, "1.05")])
def test_harm_that_is_shown_is_said_to_exceed_what_its_interval_exceeds(
    tables: Tables, low: float, above: str, screen: Any
) -> None:
    run = run_of(judged_as(tables, {"2:1": ("general damage", -2.0, 0.3, float("nan"))}, (low, 1.4)), "en")
    assert f"L2H1: yes, above {above} {ratio_interval(low, 1.4)}" in _part(screen(run)[0], run, "harm")


def test_an_undecided_head_says_what_is_open_where_its_size_is_not(tables: Tables, screen: Any) -> None:
    heads = {"2:1": ("undecided", -2.0, 0.3, float("nan")), "1:1": ("undecided", -0.4, 0.3, 70.0)}
    changed = judged_as(tables, heads, (0.98, 1.01))
    mine = (changed["verdicts"]["concept"] == "gratitude") & (changed["verdicts"]["heads"] == "2:1")
    changed["verdicts"].loc[mine, "specificity_low"] = float("nan")
    run = run_of(changed, "en")
    text = _part(screen(run)[0], run, "heads")
    assert "L2H1 −2.00 undecided (specificity)" in text
    assert "L1H1 −0.400 undecided" in text
    assert "L1H1 −0.400 undecided (" not in text


def test_the_templates_that_would_decide_stand_beside_those_that_there_are(tables: Tables, screen: Any) -> None:
    run = run_of(case_of("shared", tables), "en")
    assert "≈91 templates would decide (35 now)" in _part(screen(run)[0], run, "sure")


def test_numbers_are_explained_where_they_are_and_only_there(tables: Tables) -> None:
    """No sentence on top sets, random sets, harm or gradients in a run that has none."""
    whole = run_of(tables, "en")
    swept = run_of({name: tables[name] for name in ("assay", "verdicts")}, "en")
    scores = {"scores": fake_scores(lone_effects(tables["effects"]))}
    fast = run_of(tables | scores, "en", model=fake_facts(12, 12)["model"])
    fine = {name: fine_told(run, told_of(run, Links({}))) for name, run in
            (("whole", whole), ("swept", swept), ("fast", fast))}  # fmt: skip
    words = whole.words
    for key in ("sets", "random", "by_gradients"):
        assert words(f"summary.fine.{key}") not in fine["swept"]
    for key in ("gap", "brackets", "heads", "limit"):
        assert words(f"summary.fine.{key}") in fine["swept"]
    assert all(words(f"summary.fine.{key}") in fine["whole"] for key in ("sets", "random", "any_layer"))
    assert words("summary.fine.by_gradients") not in fine["whole"]
    assert words("summary.fine.by_gradients") in fine["fast"]
    matched = run_of(tables | {"nulls": tables["nulls"].assign(layer_matched=True)}, "en")
    assert words("summary.fine.any_layer") not in fine_told(matched, told_of(matched, Links({})))


def test_too_few_templates_to_test_is_not_called_unshown(tables: Tables, screen: Any) -> None:
    assay = tables["assay"].assign(ci_low=float("nan"), ci_high=float("nan"), shown=False, n_templates=4)
    run = run_of(tables | {"assay": assay}, "en")
    text = screen(run)[0]
    assert "Model not tested: gap 7.61 nats, no interval from 4 templates." in text.replace("Model: ", "Model ")
    assert "not shown" not in text
    assert "cannot be tested with 4 templates" in run.teller.headline(run.findings[0])


def test_p_is_marked_where_it_is_the_smallest_that_its_random_sets_allow(tables: Tables, screen: Any) -> None:
    for p_value, is_floor in ((1 / 92, True), (2 / 92, False)):
        nulls = tables["nulls"].assign(percentile=100 * (1 - p_value), floor=1 / 92, n_random=91)
        text = screen(run_of(tables | {"nulls": nulls}, "en"))[0]
        assert f"exceeds 91 random sets: {equation('p', p_value)}" in text
        assert ("(floor)" in text) == is_floor


def test_an_interval_that_only_leaves_out_zero_is_not_called_beyond(tables: Tables) -> None:
    run = run_of(judged_as(tables, {"2:1": ("undecided", -0.5, 0.3, 50.0)}, (0.9, 1.01)), "en")
    assert "L2H1 [−0.800, −0.200] lies neither beyond ±0.381 nor within" in on_page(run)[0]


def test_heads_shown_to_carry_come_before_larger_effects_that_are_undecided(tables: Tables) -> None:
    content = content_of(case_of("shared", tables), fake_facts())
    summary = summary_of(content, content.findings[0])
    assert summary is not None
    assert [chip.heads for chip in summary.chips] == ["1:1", "2:1"]
    assert abs(summary.chips[0].estimate_nats) < abs(summary.chips[1].estimate_nats)


def test_more_heads_than_fit_are_counted(tables: Tables) -> None:
    heads = {f"{n // 4}:{n % 4}": ("shared carrier", -1.0 - n / 8, 0.1, float("nan")) for n in range(MOST_CHIPS + 3)}
    run = run_of(judged_as(tables, heads, (0.99, 1.01)), "en")
    text = _part(on_page(run)[0], run, "heads")
    assert "7 of 16 judged heads" in text
    assert text.endswith("3 more, 9 without an effect that matters")
    assert re.findall(r"L\dH\d", text) == ["L1H2", "L1H1", "L1H0", "L0H3"]


@pytest.mark.parametrize("case", [*CASES, "longest"])
def test_a_concept_takes_at_most_120_words(told: Told, case: str, screen: Any) -> None:
    _are_short(screen(told(case, "en")), screen(told(case, "ja")))


def test_a_concept_of_a_large_model_of_which_few_heads_are_judged_takes_no_more(tables: Tables, screen: Any) -> None:
    english, japanese = (run_of(longest(tables), language, model=fake_facts(12, 12)["model"]) for language in LANGUAGES)
    assert "of 16 judged heads (model: 144)" in screen(english)[0]
    _are_short(screen(english), screen(japanese))


def _are_short(english: list[str], japanese: list[str]) -> None:
    for text in english:
        assert len([word for word in text.split() if re.search(r"\w", word)]) <= MOST_WORDS, text
    for text in japanese:
        assert sum(char.isalpha() for char in text) <= MOST_LETTERS, text


@pytest.mark.parametrize(("p_value", "key"), [(0.05, "exceeds"), (0.051, "among"), (0.7, "among")])
def test_a_set_exceeds_random_ones_only_where_p_says_so(tables: Tables, p_value: float, key: str, screen: Any) -> None:
    nulls = tables["nulls"].assign(percentile=100 * (1 - p_value))
    run = run_of({**tables, "nulls": nulls}, "en")
    told = run.words(f"summary.{key}", 91, p=equation("p", p_value), floor="")
    for text in screen(run):
        assert f"{told}" in _part(text, run, "together")
        assert ("not shown to exceed" in text) == (key == "among")


def test_heads_that_were_only_removed_are_told_without_a_verdict(tables: Tables, screen: Any) -> None:
    effects = tables["effects"]
    alone = effects[
        (effects["role"] == "requested") | ((effects["concept"] == "neutral") & (effects["heads"] == "1:3"))
    ]
    run = run_of({"assay": tables["assay"], "effects": alone}, "en")
    for text, found in zip(screen(run), run.findings, strict=True):
        effect = found.sets[0].primary
        assert effect is not None
        size = f"{number(effect.estimate)} nats {interval(effect.low, effect.high)}"
        assert f"L1H3 {size}" in _part(text, run, "removed")
        assert run.words("summary.rows.together") not in text
        assert "carry" not in text


@pytest.mark.parametrize("last", STAGES)
def test_a_run_that_stopped_has_a_short_first_screen(tables: Tables, last: str, screen: Any) -> None:
    run = run_of(tables_after(tables, last), "en", status="stopped", stages=stages_after(last))
    seen = on_page(run)
    assert len(seen) == len(CONCEPTS)
    for text in seen:
        assert len(text.split()) <= MOST_WORDS
        if "verdicts" not in run.tables:
            assert "carr" not in text
            assert run.words("summary.rows.harm") not in text
    assert markdown_of([summary_section(run, PLACES)], run.words).count("gratitude") >= 1


def test_runs_of_one_kind_are_told_in_their_own_words(tables: Tables) -> None:
    steered = on_page(run_of({"assay": tables["assay"], **fake_steering()}, "en"))
    probed = on_page(run_of({"probes": fake_probes(4, 4, CONCEPTS, n_prompts=70, n_templates=35)}, "en"))
    screened = on_page(run_of({"screen": tables["screen"]}, "en"))
    assert "Evidence: [Dose by dose](evidence.md#doses)." in markdown_of(
        [
            summary_section(
                run_of({"assay": tables["assay"], **fake_steering()}, "en"), {"steering_doses": "evidence.md#doses"}
            )
        ],
        words_of("en"),
    )
    assert all("As large a slope by chance: random vectors p " in text for text in steered)
    for texts in (steered, probed, screened):
        assert texts
        assert all(len(text.split()) <= MOST_WORDS for text in texts)
        assert not any("judged" in text for text in texts)
    assert all("Whether anything changes without these heads was not measured" in text for text in probed)
    assert all("Whether removing them changes anything was not measured" in text for text in screened)

"""The first screen alone answers which head to look at first, how sure that is, and whether the model breaks."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import pytest

from headscope.report.markdown import markdown_of
from headscope.report.numbers import count, equation, interval, number, ratio_interval
from headscope.report.page import render_page
from headscope.report.run_report import RunContent, RunReport, content_of
from headscope.report.summary import MOST_CHIPS, TOP, TextPair, first_pair, summary_of
from headscope.report.summary_blocks import summary_section
from headscope.report.summary_page import summary_html
from headscope.report.summary_telling import MARKS, MOST_TEMPLATES
from headscope.report.words import words_of
from headscope.terms import DECIDING_EDIT
from tests.unit.report.fake_probes import fake_probes
from tests.unit.report.fake_steering import fake_steering
from tests.unit.report.fake_tables import CONCEPTS, fake_facts, fake_tables
from tests.unit.report.partial_runs import STAGES, stages_after, tables_after

Tables = dict[str, pd.DataFrame]
Told = Callable[[str, str], RunReport]
LANGUAGES = ("en", "ja")
MOST_WORDS = 120
MOST_LETTERS = 300
"""Of a concept in Japanese: letters, kana and kanji; figures and signs are left out, which every language shares."""
PLACES = {key: f"evidence.md#{key}" for key in ("assay", "judged", "joint", "ablation")}
CASES = ("carrier", "shared", "none", "undecided", "harm", "suppressor", "unshown", "unmeasured")


def _judged(tables: Tables, heads: Mapping[str, tuple[str, float, float, float]], harm: tuple[float, float]) -> Tables:
    """Gratitude's single heads with verdicts, effects and half widths of one's choice; all others without effect."""
    verdicts = tables["verdicts"].copy()
    columns = ["verdict", "estimate", "sim_low", "sim_high", "templates_needed"]
    alone = (verdicts["concept"] == "gratitude") & ~verdicts["heads"].str.contains(",")
    verdicts.loc[alone, columns] = ["no effect", 0.001, -0.01, 0.012, float("nan")]
    for name, (verdict, estimate, half, needed) in heads.items():
        at = alone & (verdicts["heads"] == name)
        verdicts.loc[at, columns] = [verdict, estimate, estimate - half, estimate + half, needed]
        verdicts.loc[at, ["perplexity_ratio_low", "perplexity_ratio_high"]] = harm
    return {**tables, "verdicts": verdicts}


def _case(name: str, tables: Tables) -> Tables:
    nan, fine = float("nan"), (0.981, 1.013)
    match name:
        case "carrier":
            heads = {"2:1": ("carrier", -2.345, 0.4, nan), "0:3": ("attends only", 0.01, 0.02, nan)}
            return _judged(tables, heads, fine)
        case "shared":
            heads = {"2:1": ("undecided", -3.5, 3.4, 91.0), "1:1": ("shared carrier", -2.1, 0.3, nan)}
            return _judged(tables, heads, fine)
        case "none":
            return _judged(tables, {}, fine)
        case "undecided":
            heads = {
                "1:2": ("undecided", -0.5, 0.41, 57.0),
                "3:0": ("undecided (damage not bounded)", -0.9, 0.2, 123456.0),
                "0:2": ("undecided (edit-dependent)", 0.6, 0.1, nan),
            }
            return _judged(tables, heads, (0.961, 1.087))
        case "harm":
            return _judged(tables, {"1:2": ("general damage", -4.2, 0.41, nan)}, (1.11, 1.32))
        case "suppressor":
            return _judged(tables, {"1:2": ("suppressor", 1.2, 0.3, nan)}, fine)
        case "unshown":
            assay = tables["assay"].copy()
            assay.loc[assay["concept"] == "gratitude", ["estimate", "ci_low", "ci_high", "shown"]] = [
                0.1,
                -0.2,
                0.4,
                False,
            ]
            return {**tables, "assay": assay}
        case _:
            verdicts = tables["verdicts"].assign(verdict="no verdict")
            return {name: table for name, table in tables.items() if name != "assay"} | {"verdicts": verdicts}


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
            contents[case] = content_of(_longest(tables) if case == "longest" else _case(case, tables), fake_facts())
        return contents[case].told_in(language)

    return run


def _run(tables: Tables, language: str, **facts: Any) -> RunReport:
    return content_of(tables, {**fake_facts(), **facts}).told_in(language)


def _bare(markup: str) -> str:
    """The words that are seen: folded text is not, and tags are none."""
    shown = re.sub(r"<details.*?</details>", " ", markup, flags=re.S)
    return " ".join(
        html.unescape(re.sub(r"<(/?)(dt|dd|li|p|h2|div|article|dl|ul)\b[^>]*>|<[^>]*>", _gap, shown)).split()
    )


def _gap(tag: re.Match[str]) -> str:
    return " " if tag[2] else ""


def _on_page(run: RunReport) -> list[str]:
    """What is seen of each concept on the page."""
    return [_bare(box) for box in re.findall(r"<article.*?</article>", str(summary_html(run, {})), re.S)]


def _in_markdown(run: RunReport) -> list[str]:
    """What is seen of each concept in the Markdown report."""
    text = markdown_of([summary_section(run, {})], run.words).replace("*", "")
    text = text.split(run.words("summary.fine", bound="1.05"))[0].split(f"### {run.words('summary.pair')}")[0]
    return [" ".join(part.split()) for part in text.split("\n### ")[1:]]


@pytest.fixture(params=["page", "markdown"])
def screen(request: pytest.FixtureRequest) -> Any:
    return _on_page if request.param == "page" else _in_markdown


def _part(text: str, run: RunReport, key: str) -> str:
    """What stands in one row: from its label up to the next one."""
    labels = [re.escape(run.words(f"summary.rows.{name}")) for name in ("model", "heads", "sure", "together", "harm")]
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
        case, "look_none"
    )
    if lead:
        about = {"of": 16, "untested": ""}
        assert run.words(f"summary.{lead}", 1, **about) in text
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
    of_set = run.words("summary.harm.bounded", bound="1.05", ends=ends).replace("*", "")
    assert run.words("summary.harm.of", who=run.words("summary.harm.set"), answer=of_set) in text
    if case in HARM:
        verdict = run.findings[0].verdicts
        mine = next(one for one in verdict if f"L{one['heads'].replace(':', 'H')}" == FIRST[case])
        ends = ratio_interval(mine["perplexity_ratio_low"], mine["perplexity_ratio_high"])
        answer = run.words(f"summary.harm.{HARM[case]}", bound="1.05", ends=ends).replace("*", "")
        assert run.words("summary.harm.of", who=FIRST[case], answer=answer) in text


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [(0.9, 1.05, "bounded"), (1.01, 1.04, "bounded"), (0.99, 1.06, "open"), (1.01, 1.06, "shown"),
     (float("nan"), float("nan"), "unmeasured")],
)  # fmt: skip
def test_harm_has_three_answers_and_one_for_not_measured(tables: Tables, low: float, high: float, answer: str) -> None:
    changed = _judged(tables, {"2:1": ("undecided", -2.0, 0.3, 50.0)}, (low, high))
    content = content_of(changed, fake_facts())
    summary = summary_of(content, content.findings[0])
    assert summary is not None
    assert summary.harm[0].answer == answer


def test_an_interval_that_only_leaves_out_zero_is_not_called_beyond(tables: Tables) -> None:
    run = _run(_judged(tables, {"2:1": ("undecided", -0.5, 0.3, 50.0)}, (0.9, 1.01)), "en")
    assert "L2H1 [−0.800, −0.200] lies neither beyond ±0.381 nor within" in _on_page(run)[0]


def test_heads_shown_to_carry_come_before_larger_effects_that_are_undecided(tables: Tables) -> None:
    content = content_of(_case("shared", tables), fake_facts())
    summary = summary_of(content, content.findings[0])
    assert summary is not None
    assert [chip.heads for chip in summary.chips] == ["1:1", "2:1"]
    assert abs(summary.chips[0].estimate_nats) < abs(summary.chips[1].estimate_nats)


def test_more_heads_than_fit_are_counted(tables: Tables) -> None:
    heads = {f"{n // 4}:{n % 4}": ("shared carrier", -1.0 - n / 8, 0.1, float("nan")) for n in range(MOST_CHIPS + 3)}
    run = _run(_judged(tables, heads, (0.99, 1.01)), "en")
    text = _part(_on_page(run)[0], run, "heads")
    assert "8 of 16 judged heads" in text
    assert text.endswith("3 more, 8 without an effect that matters")
    assert re.findall(r"L\dH\d", text) == ["L1H3", "L1H2", "L1H1", "L1H0", "L0H3"]


def _longest(tables: Tables) -> Tables:
    """As many words as may come: long verdicts, several sets, an open harm, an accuracy."""
    heads = {f"{n}:0": ("carrier, reading elsewhere (specificity not tested)", -2.0, 0.3, 999.0) for n in range(3)}
    heads |= {f"{n}:1": ("undecided (damage not bounded)", -1.0, 0.3, 999.0) for n in range(4)}
    effects = tables["effects"]
    other = effects[(effects["heads"] == "1:3,3:2") & (effects["role"] == "joint_top")].assign(heads="0:1,1:3,2:2,3:2")
    longer = _judged({**tables, "effects": pd.concat([effects, other], ignore_index=True)}, heads, (0.9, 1.2))
    row = {"concept": "gratitude", "estimate": 0.97, "ci_low": 0.91, "ci_high": 1.0, "control_mean": 0.1}
    return {**longer, "accuracy": pd.DataFrame([row])}


@pytest.mark.parametrize("case", [*CASES, "longest"])
def test_a_concept_takes_at_most_120_words(told: Told, case: str, screen: Any) -> None:
    for text in screen(told(case, "en")):
        assert len([word for word in text.split() if re.search(r"\w", word)]) <= MOST_WORDS, text
    for text in screen(told(case, "ja")):
        assert sum(char.isalpha() for char in text) <= MOST_LETTERS, text


@pytest.mark.parametrize("last", STAGES)
def test_a_run_that_stopped_has_a_short_first_screen(tables: Tables, last: str, screen: Any) -> None:
    run = _run(tables_after(tables, last), "en", status="stopped", stages=stages_after(last))
    seen = _on_page(run)
    assert len(seen) == len(CONCEPTS)
    for text in seen:
        assert len(text.split()) <= MOST_WORDS
        if "verdicts" not in run.tables:
            assert "carr" not in text
            assert run.words("summary.rows.harm") not in text
    assert markdown_of([summary_section(run, PLACES)], run.words).count("gratitude") >= 1


def test_runs_of_one_kind_are_told_in_their_own_words(tables: Tables) -> None:
    steered = _on_page(_run({"assay": tables["assay"], **fake_steering()}, "en"))
    probed = _on_page(_run({"probes": fake_probes(4, 4, CONCEPTS, n_prompts=70, n_templates=35)}, "en"))
    screened = _on_page(_run({"screen": tables["screen"]}, "en"))
    for texts in (steered, probed, screened):
        assert texts
        assert all(len(text.split()) <= MOST_WORDS for text in texts)
        assert not any("judged" in text for text in texts)
    assert all("Whether anything changes without these heads was not measured" in text for text in probed)
    assert all("Whether removing them changes anything was not measured" in text for text in screened)


def _tables_numbers(run: RunReport) -> set[str]:
    """Every number that the tables allow on the first screen, rounded as the report rounds."""
    allowed = {"95", "1.05", "16"}
    for row in pd.concat([run.tables[name] for name in ("assay", "verdicts")]).to_dict("records"):
        allowed |= {number(row[name]) for name in ("estimate", "threshold_nats") if name in row}
        allowed |= {count(row["templates_needed"])}
        for low, high in (("ci_low", "ci_high"), ("sim_low", "sim_high")):
            allowed |= set(_numbers(interval(row[low], row[high])))
        allowed |= set(_numbers(ratio_interval(row["perplexity_ratio_low"], row["perplexity_ratio_high"])))
    for one in run.sets:
        for effect in (*one.effects, *one.damage, *filter(None, [one.total])):
            allowed |= {number(effect.estimate), *_numbers(interval(effect.low, effect.high))}
            allowed |= set(_numbers(ratio_interval(effect.low, effect.high)))
        if one.null is not None:
            allowed |= {number(one.null["floor"]), *_numbers(equation("p", 1 - one.null["percentile"] / 100))}
    return allowed


def _numbers(text: str) -> list[str]:
    return re.findall(r"−?\d+(?:\.\d+)?", re.sub(r"L\d+H\d+", "", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_number_is_the_tables_number_rounded(tables: Tables, language: str, screen: Any) -> None:
    run = _run(tables, language)
    allowed, counts = _tables_numbers(run), {str(n) for n in range(17)}
    for text in screen(run):
        found = _numbers(text)
        assert len(found) > 15
        assert {one for one in found if one not in counts} <= allowed


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_number_leads_to_its_evidence(tables: Tables, language: str) -> None:
    """Every row but the heads' has a link in Markdown and on the page, and every link has a target there."""
    markdown = markdown_of([summary_section(_run(tables, language), PLACES)], words_of(language))
    rows = [line for line in markdown.splitlines() if line.startswith("- ")]
    assert len(rows) == 5 * len(CONCEPTS)
    assert all("](evidence.md#" in row for row in rows)
    page = render_page(tables, fake_facts(), language=language)
    boxes = re.findall(r"<article.*?</article>", page, re.S)
    targets = re.findall(r'href="#([^"]+)"', "".join(boxes))
    assert {f"assay-{language}", f"joint-{language}", f"judged-{language}", "sets", "heads"} <= set(targets)
    ids = set(re.findall(r'id="([^"]+)"', page))
    assert {target for target in targets if not re.fullmatch(r"L\d+H\d+", target)} <= ids


def test_a_chip_says_its_verdict_by_mark_and_word(tables: Tables) -> None:
    markup = str(summary_html(_run(_case("undecided", tables), "en"), {}))
    chips = re.findall(r'<a class="chip (\w+)" href="#(L\d+H\d+)">(.*?)</a>', markup)
    first = [chip for chip in chips if chip[1] in ("L3H0", "L0H2", "L1H2")][:3]
    assert [(kind, head) for kind, head, _ in first] == [("open", "L3H0"), ("open", "L0H2"), ("open", "L1H2")]
    told = [_bare(text) for _, _, text in first]
    assert told[0] == f"{MARKS['open']} L3H0 −0.900 undecided (harm)"
    assert len(set(MARKS.values())) == len(MARKS)


@pytest.mark.parametrize("seed", range(5))
def test_the_pair_of_texts_is_the_first_whatever_it_says(tables: Tables, seed: int) -> None:
    """Results change places among prompts, effects among heads' rows: the prompt, sample and set chosen do not."""
    texts = tables["texts"]
    chosen = first_pair(content_of(tables, fake_facts()))
    assert isinstance(chosen, TextPair)
    order = texts.sample(frac=1.0, random_state=seed).index
    shuffled = texts.copy()
    shuffled[["baseline_text", "edited_text"]] = texts.loc[order, ["baseline_text", "edited_text"]].to_numpy()
    moved = first_pair(content_of({**tables, "texts": shuffled}, fake_facts()))
    assert moved is not None
    where = ("concept", "prompt_id", "sample", "heads", "edit", "prompt")
    assert [getattr(moved, name) for name in where] == [getattr(chosen, name) for name in where]
    first = shuffled[shuffled["concept"] == "gratitude"].iloc[0]
    assert (moved.concept, moved.prompt_id, moved.sample) == ("gratitude", first["prompt_id"], first["sample"])
    assert (moved.baseline, moved.edited) == (first["baseline_text"], first["edited_text"])
    assert moved.edit == DECIDING_EDIT


def test_hostile_texts_and_names_show_as_themselves(tables: Tables) -> None:
    wild = '<script>alert("1")</script> [a](b) *x* `y`'
    renamed = {
        name: table.replace({"gratitude": wild}) if "concept" in table.columns else table
        for name, table in tables.items()
    }
    renamed["texts"] = renamed["texts"].assign(baseline_text=wild, edited_text=f"{wild} more")
    page = render_page(renamed, fake_facts())
    assert "<script>alert" not in page
    intro = page[page.index('<section class="intro">') : page.index('<section id="heads"')]
    assert "&lt;script&gt;alert(" in intro
    assert "[a](b) *x* `y`" in intro

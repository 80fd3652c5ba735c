"""The section on heads that were turned up; see ``sections``.

Each head or set is told in four sentences at most: its verdict, what the doses do that are shown to do something, what
they cost, and where its slope lies among random vectors and random heads, with the smallest p that could have come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isclose, isnan

import numpy as np

from headscope.plots.selecting import numbers
from headscope.plots.steered import Steered
from headscope.report import steering_cells
from headscope.report.document import Block, Foreign, Heading, Items, Picture
from headscope.report.escaping import plain
from headscope.report.numbers import as_float, count, equation, interval, number, ratio, ratio_interval
from headscope.report.run_report import RunReport
from headscope.report.steering_cells import dose_row, dose_words, way_of
from headscope.report.telling import head_names
from headscope.report.words import Words
from headscope.stats.evidence import Criteria
from headscope.stats.nulls import ENOUGH_REACHING

MOST_TOLD = 6
PICTURE = "dose_response"


def steering(run: RunReport) -> Iterator[Block]:
    """The finding on each head or set, one table of all, and the picture."""
    steered = run.content.steered
    if not steered:
        return
    told = strongest(steered, MOST_TOLD)
    items = [told_of(run, one) for one in told]
    if len(steered) > len(told):
        items.append(run.words("steering.more", len(steered) - len(told), of=len(steered)))
    yield Items(items)
    yield steering_cells.slope_table(steered, run.words)
    yield from (Picture(path, run.words.figure(path)) for path in pictures_of(run))
    yield run.say("steering.about", bound=_bound())


def doses(run: RunReport) -> Iterator[Block]:
    """What every dose brings and costs."""
    told = strongest(run.content.steered, MOST_TOLD)
    if told:
        yield run.say("steering_doses.about")
    for one in told:
        yield Heading(_named(run, one))
        yield steering_cells.dose_table(one, run.words)


def texts(run: RunReport) -> Iterator[Block]:
    """The first text of each head or set, as it is and steered."""
    if "texts" not in run.tables or not run.content.steered:
        return
    told = strongest(run.content.steered, MOST_TOLD)
    table = steering_cells.steered_text_table(run.tables["texts"], told, run.words)
    if table.rows:
        yield run.say("steering_texts.about")
        yield table


def pictures_of(run: RunReport) -> list[str]:
    """The run's pictures of steering."""
    return [path for path in run.facts.figures if path.split("/")[-1].startswith(PICTURE)]


def strongest(steered: list[Steered], most: int) -> list[Steered]:
    """All in the table's order, or of many those with the largest effects."""
    return steered if len(steered) <= most else sorted(steered, key=lambda one: -one.reach)[:most]


def bare_name(one: Steered, words: Words) -> str:
    """Whose vector, which heads, how and where, as bare text."""
    return _name(one, words, concept=one.concept, target=one.target, shown=str)


def _name(one: Steered, words: Words, *, concept: str, target: str, shown: Callable[[object], str]) -> str:
    parts = [shown(cell) for cell in way_of(one, words)]
    parts += [words("steering.into", target=target)] if one.target != one.concept else []
    name = words("glue.with", name=head_names(one.heads), parts=words.listed(parts, by="items"))
    return words("steering.name", concept=concept, heads=name)


def _named(run: RunReport, one: Steered, around: str = "") -> str:
    """The same in Markdown, the concept in between ``around``."""
    concept = f"{around}{plain(one.concept)}{around}"
    return _name(one, run.words, concept=concept, target=plain(one.target), shown=_inline)


def told_of(run: RunReport, one: Steered, *, briefly: bool = False) -> str:
    """One head or set in a few sentences, with intervals and p-values; ``briefly`` without slope."""
    words = run.words
    verdict = str(one.slope.get("verdict") or "no verdict")
    told = [words("steering.verdict", verdict=_inline(words.named("verdicts", verdict)))]
    told += [_effect(run, one), _others(run, one)]
    told += [_chance(run, one)] if briefly else [_harm(run, one), _slope(run, one)]
    return words("glue.named", name=_named(run, one, around="**"), text=words.sentences(*told))


def _effect(run: RunReport, one: Steered) -> str:
    """What the doses do that are shown to do something, and whether that comes without harm."""
    words = run.words
    smallest, bounded = (as_float(one.slope.get(name)) for name in ("smallest_dose", "bounded_dose"))
    limit = number(one.slope.get("threshold_nats"))
    if isnan(smallest):
        doses, effects = (numbers(one.judged, name) for name in ("dose", "estimate"))
        if not one.slope or np.isnan(effects).all():
            return ""
        largest = float(doses[np.nanargmax(np.abs(effects))])
        about = {"dose": dose_words(largest, one.edit, words), "effect": _sized(run, one, largest)}
        asked = words.listed([dose_words(dose, one.edit, words) for dose in doses], by="items")
        return words("steering.unseen", len(doses), limit=limit, doses=asked, **about)
    about = {"low": dose_words(smallest, one.edit, words), "first": _sized(run, one, smallest), "limit": limit}
    if not one.measured_damage:
        return words("steering.unmeasured", **about)
    if isnan(bounded) or abs(bounded - one.unedited) < abs(smallest - one.unedited):
        return words("steering.costly", ratio=_ratio(run, one, smallest), bound=_bound(), **about)
    about |= {"high": dose_words(bounded, one.edit, words), "ratio": _ratio(run, one, bounded), "bound": _bound()}
    if bounded == smallest:
        return words("steering.at", **about)
    return words("steering.window", last=_sized(run, one, bounded), **about)


def _others(run: RunReport, one: Steered) -> str:
    """What the dose told last, at which there is an effect, does to other concepts, the largest first."""
    smallest, bounded = (as_float(one.slope.get(name)) for name in ("smallest_dose", "bounded_dose"))
    is_beyond = abs(bounded - one.unedited) >= abs(smallest - one.unedited)  # False where one is NaN
    dose = bounded if is_beyond else smallest
    rows = one.others[one.others["dose"] == dose].sort_values("estimate", key=np.abs, ascending=False, kind="stable")
    if rows.empty:
        return ""
    told = [
        run.words(
            "steering.of_other", concept=plain(row["concept"]), size=number(row["estimate"]), ends=_ends(run, row)
        )
        for row in rows.to_dict("records")
    ]
    others = run.words.listed(told, MOST_TOLD, by="items")
    return run.words("steering.others", dose=dose_words(dose, one.edit, run.words), others=others)


def _harm(run: RunReport, one: Steered) -> str:
    harmful = as_float(one.slope.get("harmful_dose"))
    if isnan(harmful):
        return ""
    dose = dose_words(harmful, one.edit, run.words)
    return run.words("steering.harm", dose=dose, ratio=_ratio(run, one, harmful))


def _slope(run: RunReport, one: Steered) -> str:
    words, row = run.words, one.slope
    if not row:
        return ""
    holds, nulls = as_float(row.get("p_vector")), list[str]()
    for name in ("random_vectors", "random_heads"):
        p_value, drawn = as_float(row.get(f"p_{name}")), as_float(row.get(f"n_{name}"))
        if not isnan(p_value) and drawn > 0:
            about = {"p": equation("p", p_value), "drawn": count(drawn)}
            if isclose(p_value * drawn, ENOUGH_REACHING):  # the search stopped: see ``stats.nulls``
                nulls.append(words(f"steering.{name}_reach", reaching=count(ENOUGH_REACHING), **about))
            else:
                nulls.append(words(f"steering.{name}", floor=number(1.0 / (drawn + 1.0)), **about))
    vector = [] if isnan(holds) else [words("steering.holds", p=equation("p", holds))]
    return words(
        "steering.slope_of",
        slope=number(row["estimate"]),
        unit=words("steering.per_factor" if one.edit == "scale" else "steering.per_sigma"),
        ends=_ends(run, row),
        templates=count(row.get("n_templates")),
        nulls=words.listed(vector + (nulls or [words("steering.no_nulls")])),
    )


def _chance(run: RunReport, one: Steered) -> str:
    """How often random draws have as large a slope, and whether that is the smallest p that so many allow."""
    nulls: list[str] = []
    for name in ("random_vectors", "random_heads"):
        p_value, drawn = (as_float(one.slope.get(f"{kind}_{name}")) for kind in ("p", "n"))
        if not isnan(p_value) and drawn > 0:
            floor = run.words("steering.chance_floor") if isclose(p_value * (drawn + 1.0), 1.0) else ""
            about = {"p": equation("p", p_value), "drawn": count(drawn), "floor": floor}
            nulls.append(run.words(f"steering.chance_{name}", **about))
    return run.words("steering.chance", nulls=run.words.listed(nulls, by="items")) if nulls else ""


def _sized(run: RunReport, one: Steered, dose: float) -> str:
    row = dose_row(one, dose)
    return run.words("steering.effect", size=number(row.get("estimate")), ends=_ends(run, row))


def _ends(run: RunReport, row: object) -> str:
    """The simultaneous interval of a row, else its own interval, named as what it is."""
    values = dict(row) if isinstance(row, dict) else {}
    if not isnan(as_float(values.get("sim_low"))):
        return run.words("steering.sim_ci", ends=interval(values["sim_low"], values["sim_high"]))
    if not isnan(as_float(values.get("ci_low"))):
        return run.words("ci", ends=interval(values["ci_low"], values["ci_high"]))
    return run.words("no_ci")


def _ratio(run: RunReport, one: Steered, dose: float) -> str:
    row = dose_row(one, dose)
    ends = ratio_interval(row.get("ratio_low"), row.get("ratio_high"))
    return run.words("steering.ratio", ratio=ratio(row.get("ratio")), ends=ends)


def _bound() -> str:
    return f"{Criteria().max_perplexity_ratio:g}"


def _inline(cell: object) -> str:
    """A run's own name, or our word for it, in a sentence."""
    return plain(cell) if isinstance(cell, Foreign) else str(cell)

"""Does the whole line find in each world what was planted there?

Each world's model is loaded like any other, screened, swept, its planted sets are switched off together, and the tables
are ranked and judged: the verbs themselves, on the same options as ``headscope run``. Then every planted claim is set
beside what was found:

1. does the model show the concept;
2. each planted head or set: its verdict, its effect (within ``EFFECT_SHARE`` of the design, or ``EFFECT_NATS``), and
   whether the screen finds it attending to the concept, and where that is planted the region it reads most;
3. the head with the largest effect is ranked first;
4. all other heads together: one verdict, none attends, and none has a family-wise p below .05.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from headscope.errors import RequestError
from headscope.measure.protocols import Progress, told
from headscope.stats.attending import YES
from headscope.stats.ranking import OVERALL
from headscope.stats.regions import places_read, shares_of
from headscope.study import Study
from headscope.verbs.ablate import ablate
from headscope.verbs.rank import rank
from headscope.verbs.regions import attention_by_region
from headscope.verbs.screen import screen
from headscope.verbs.sweep import sweep
from headscope.worlds.catalog import Planted, World, worlds
from headscope.worlds.texts import CONCEPTS, make_profile

EFFECT_SHARE, EFFECT_NATS = 0.005, 0.002
COLUMNS = (
    *("world", "heads", "part", "concept", "planted", "found", "planted_nats", "found_nats"),
    *("planted_attends", "found_attends", "agrees"),
)
_LEVEL = 0.05


@dataclass(frozen=True)
class Measured:
    """The tables of one world's run.

    ``assay``, ``verdicts``, ``heads`` (the ranking by effect of every head) and ``regions`` (where each head reads).
    """

    world: World
    assay: pd.DataFrame
    verdicts: pd.DataFrame
    heads: pd.DataFrame
    regions: pd.DataFrame


def measure_world(world: World, *, seed: int = 0) -> Measured:
    """Run the whole line on one world."""
    study = Study(world.load(), make_profile(), seed=seed)
    looked = screen(study, query="readout")
    swept = sweep(study)
    together = [ablate(study, heads).table for heads in world.sets]
    effects = pd.concat([swept.table, *together], ignore_index=True)
    read = attention_by_region(study)
    judged = rank(looked, effects, assay=swept.tables["assay"], regions=read.table, by="effect", top_n=None)
    heads = judged.tables["ranking"]
    heads = heads[heads["concept"] != OVERALL].assign(heads=lambda t: t["layer"].map(str) + ":" + t["head"].map(str))
    return Measured(world, swept.tables["assay"], judged.tables["verdicts"], heads, read.table)


def findings(measured: Measured) -> pd.DataFrame:
    """What was planted in a world and what was found, one claim a row: ``COLUMNS``.

    ``planted`` and ``found`` are verdicts, ``rank 1`` or ``shown``; NaN and None stand where a claim says nothing.
    """
    world = measured.world
    rows: list[dict[str, Any]] = []
    for concept in CONCEPTS:
        rows.append(_shown(measured, concept))
        rows += [_planted(measured, planted, concept) for planted in world.planted]
        rows += [_reads(measured, planted, concept) for planted in world.planted if concept in planted.reads]
        strongest = world.strongest(concept)
        if strongest is not None:
            rows.append(_first(measured, strongest, concept))
        rows.append(_others(measured, concept))
    return pd.DataFrame([{"world": world.name} | row for row in rows], columns=list(COLUMNS))


def check_worlds(
    names: Sequence[str] | None = None, *, seed: int = 0, progress: Progress | None = None
) -> pd.DataFrame:
    """The findings of every world, or of those named; ``seed`` is of the statistics, the worlds are always the same.

    Raises:
        RequestError: there is no world of that name.
    """
    known = {world.name: world for world in worlds()}
    for name in names or ():
        if name not in known:
            raise RequestError(f'there is no world "{name}"', expected=", ".join(known), got=name)
    chosen = [world for name, world in known.items() if names is None or name in names]
    each = told(chosen, "worlds", len(chosen), progress)
    return pd.concat([findings(measure_world(world, seed=seed)) for world in each], ignore_index=True)


def _claim(heads: str, part: str, concept: str, planted: str, found: str, agrees: bool, **more: Any) -> dict[str, Any]:
    nothing = {"planted_nats": math.nan, "found_nats": math.nan, "planted_attends": None, "found_attends": None}
    claim = {"heads": heads, "part": part, "concept": concept, "planted": planted, "found": found, "agrees": agrees}
    return nothing | claim | more


def _shown(measured: Measured, concept: str) -> dict[str, Any]:
    rows = measured.assay
    is_shown = bool(rows.loc[rows["concept"] == concept, "shown"].iloc[0])
    words = {True: "shown", False: "not shown"}
    planted = measured.world.shown
    return _claim("", "the model", concept, words[planted], words[is_shown], planted == is_shown)


def _planted(measured: Measured, planted: Planted, concept: str) -> dict[str, Any]:
    verdicts = measured.verdicts
    row = verdicts[(verdicts["concept"] == concept) & (verdicts["heads"] == planted.heads)].iloc[0]
    expected, effect = planted.verdicts[concept], planted.effect_nats.get(concept, 0.0)
    found = float(row["estimate"])
    close = abs(found - effect) <= EFFECT_NATS + EFFECT_SHARE * abs(effect)
    claim = _claim(planted.heads, planted.part, concept, expected, str(row["verdict"]), row["verdict"] == expected)
    claim |= {"planted_nats": effect, "found_nats": found}
    if "," not in planted.heads:
        claim |= {
            "planted_attends": concept in planted.attends,
            "found_attends": planted.heads in set(_attending(measured, concept)["heads"]),
        }
    claim["agrees"] = bool(claim["agrees"] and close and claim["planted_attends"] == claim["found_attends"])
    return claim


def _reads(measured: Measured, planted: Planted, concept: str) -> dict[str, Any]:
    """Where most of the head's attention goes at the readouts."""
    most, expected = places_read(shares_of(measured.regions)[concept, planted.heads])[0][0], planted.reads[concept]
    part = f"{planted.part}, by attention"
    return _claim(planted.heads, part, concept, f"reads {expected}", f"reads {most}", most == expected)


def _first(measured: Measured, strongest: str, concept: str) -> dict[str, Any]:
    heads = measured.heads
    place = int(heads.loc[(heads["concept"] == concept) & (heads["heads"] == strongest), "rank"].iloc[0])
    return _claim(strongest, "largest effect", concept, "rank 1", f"rank {place}", place == 1)


def _others(measured: Measured, concept: str) -> dict[str, Any]:
    """The heads of which nothing is planted; ``found`` lists every verdict among them, and the false alarms."""
    expected = measured.world.others
    rows = _of_others(measured, measured.heads)
    rows = rows[rows["concept"] == concept]
    alarms = rows[rows["effect_p_max_t"] < _LEVEL]
    attending = _of_others(measured, _attending(measured, concept))
    found = [*sorted(set(rows["verdict"])), *(f"{head} has an effect" for head in alarms["heads"])]
    found += [f"{head} attends" for head in attending["heads"]]
    part = f"{len(rows)} other heads"
    return _claim("", part, concept, expected, "; ".join(found), found == [expected])


def _of_others(measured: Measured, rows: pd.DataFrame) -> pd.DataFrame:
    return rows[~rows["heads"].isin([planted.heads for planted in measured.world.planted])]


def _attending(measured: Measured, concept: str) -> pd.DataFrame:
    """Heads that the screen finds attending to the concept, by the rule the verdicts use."""
    rows = measured.verdicts
    return rows[(rows["concept"] == concept) & (rows["attends"] == YES)]

"""Measured where it can matter, or measured everywhere: the same verdicts on every model whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from headscope.stats import Criteria, judge
from headscope.study import Study
from headscope.verbs.deciding import complete, decide
from headscope.verbs.screen import screen
from headscope.verbs.sweep import sweep
from headscope.worlds.catalog import worlds
from headscope.worlds.texts import make_profile
from tests.tolerances import effect_error

WORLDS = {world.name: world for world in worlds()}
FEW = ("writer", "suppressor")
"""The others take as long each and say the same."""

EDITS = ("mean", "zero")
PLACE = ["concept", "heads"]


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in FEW else pytest.mark.slow) for name in WORLDS])
def test_verdicts_are_those_of_a_whole_sweep(name: str) -> None:
    study = Study(WORLDS[name].load(), make_profile())
    looked = screen(study, query="readout").table
    decided = decide(study)
    named = decided.named(Criteria())
    part, whole = complete(decided, EDITS, Criteria()), sweep(study, edits=EDITS)
    n_named = 0 if named is None else len(named)
    n_heads = sum(study.model.heads_per_layer)
    assert part.record["not_measured"] == n_heads - n_named
    judged = [
        judge(one.table, looked, one.tables["assay"]).set_index(PLACE)[["verdict", "templates_needed"]]
        for one in (part, whole)
    ]
    assert judged[0]["verdict"].equals(judged[1]["verdict"])

    places = [*PLACE, "outcome", "edit"]
    few, every = part.table.set_index(places), whole.table.set_index(places)
    assert few.index.isin(every.index).all()
    beside = every.loc[few.index]
    is_nats = few["family"].str.contains("nats").to_numpy()
    gap = (few["estimate"] - beside["estimate"]).abs().to_numpy()
    assert gap[is_nats].max() <= effect_error(study.model)
    deciding = (few.index.get_level_values("edit") == "mean") & few.index.get_level_values("outcome").str.startswith(
        "lexicon"
    )
    own = few[deciding & (few["status"] == "confirmatory").to_numpy()]
    assert len(own) == len(study.names) * n_heads, "the confirmatory family is every head, whatever else is measured"


def test_what_was_not_measured_is_nan_and_has_no_row() -> None:
    study = Study(WORLDS["writer"].load(), make_profile())
    decided = decide(study)
    named = decided.named(Criteria())
    assert named is not None
    assert 0 < len(named) < sum(study.model.heads_per_layer)
    part = complete(decided, EDITS, Criteria())
    rows, values = part.table, part.values
    for outcome in ("perplexity_ratio", "kl_nats_per_token"):
        assert set(rows["heads"][rows["outcome"] == outcome]) == {str(head) for head in named}
    assert set(rows["heads"][rows["edit"] == "zero"]) == {str(head) for head in named}
    is_control = np.array([name == study.profile.control for name in values["concept"].to_numpy()])
    edited = values["edited"].to_numpy()
    for index, spec in enumerate(values["heads"].to_numpy()):
        assert not np.isnan(edited[index][~is_control]).any()
        assert np.isnan(edited[index][is_control]).all() == (spec not in {str(head) for head in named})
    assert not np.isnan(values["baseline"].to_numpy()).any()

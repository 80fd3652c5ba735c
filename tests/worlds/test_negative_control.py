"""Random words as concepts, on models whose answer is known: what is planted for the concept is not found for them."""

from __future__ import annotations

import pytest

from headscope.api import screen, sweep
from headscope.engines.engine import Engine
from headscope.report.control import control_of
from headscope.runs.shards import Shards
from headscope.stats.verdicts import CARRIER
from headscope.study import Study
from headscope.verbs.negative_control import negative_control
from headscope.verbs.rank import rank
from headscope.worlds.catalog import worlds
from headscope.worlds.texts import make_profile

WORLDS = {world.name: world for world in worlds()}


@pytest.mark.parametrize("name", ["noise", "writer"])
def test_random_words_find_no_head(name: str) -> None:
    model, profile = WORLDS[name].load(), make_profile()
    looked = screen(model, profile, query="readout")
    found = control_of(negative_control(Study(model, profile), looked).tables)
    assert found is not None
    assert found.screened
    assert found.n_intervals == found.n_tests == 32
    assert (found.n_carriers, found.n_shown, found.n_beyond) == (0, 0, 0)
    real = rank(looked, sweep(model, profile)).tables["verdicts"]
    assert (CARRIER in set(real["verdict"])) == (name == "writer"), "the concept's own words do find it"


def test_the_results_of_the_sweep_are_not_taken_for_those_of_the_control(tmp_path) -> None:
    """Same model, prompts and edits in one folder of shards: only the words differ."""
    model, profile = WORLDS["writer"].load(), make_profile()
    engine = Engine(Shards(tmp_path, "g"))
    swept = sweep(model, profile, edits=("mean",), engine=engine)
    beside = negative_control(Study(model, profile, engine=engine), None, edits=("mean",))
    alone = negative_control(Study(model, profile), None, edits=("mean",))
    assert beside.values.equals(alone.values)
    assert not beside.values["edited"].equals(swept.values["edited"])

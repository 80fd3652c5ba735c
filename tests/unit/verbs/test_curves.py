"""Sets of heads on a world whose answer is known: a redundant pair, of which neither head shows alone."""

import numpy as np
import pytest

import headscope as hs
from headscope.errors import RequestError
from headscope.heads import HeadSet
from headscope.tables import TABLES
from headscope.verbs.head_order import concept_gaps, orders
from headscope.verbs.joint import choose_top
from headscope.verbs.reliability import reliability
from headscope.verbs.smallest import Changes
from headscope.worlds.catalog import worlds
from headscope.worlds.texts import make_profile
from tests.tolerances import FLOAT64, effect_error

PAIR = "1:1,2:2"


@pytest.fixture(scope="module")
def asked():
    world = next(world for world in worlds() if world.name == "redundant")
    model, profile = world.load(), make_profile()
    return model, profile, hs.sweep(model, profile, concepts="gratitude", edits=("mean",))


@pytest.fixture(scope="module")
def found(asked):
    model, profile, sweep = asked
    return hs.curves(model, profile, sweep, top_k=3, n_random=4)


def rows_of(found, role):
    rows = found.tables["effects"]
    return rows[rows["role"] == role]


def test_the_pair_is_the_smallest_set_on_both_halves_and_holds_on_the_other(found):
    smallest = found.tables["smallest"]
    assert smallest["heads"].tolist() == [PAIR, PAIR]
    assert smallest["reached"].all()
    assert ((smallest["share_ci_low"] < 1.0) & (smallest["share_ci_high"] > 1.0)).all()
    assert rows_of(found, "smallest")["n_templates"].tolist() == [16, 16]


def test_an_order_by_single_effects_is_blind_to_the_backup_and_the_areas_say_so(found):
    areas = found.tables["areas"].set_index("area")["estimate"]
    assert areas["cpr"] > 0.95  # one of the pair is enough, and it is ranked first
    # Yet removing the first heads of the order removes nothing: all of it goes between half of the heads and all.
    assert areas["removed_top"] == pytest.approx(0.25, abs=0.02)
    assert areas["cmd"] == pytest.approx(areas["removed_bottom"], abs=0.01)  # but for the sign of noise heads


def test_the_curve_starts_with_the_first_head_and_ends_with_all_of_them(asked, found):
    model, _, sweep = asked
    single = sweep.table[(sweep.table["heads"] == "1:1") & (sweep.table["outcome"] == "lexicon_logodds_nats")]
    top = rows_of(found, "top_k")
    assert top["k"].tolist() == [1, 2, 3, 8, 16]
    assert top["heads"].iloc[0] == "1:1"
    assert top["estimate"].iloc[0] == pytest.approx(single["estimate"].iloc[0], abs=effect_error(model))
    ends = [rows_of(found, role)["estimate"].iloc[-1] for role in ("top_k", "bottom_k")]
    assert ends[0] == pytest.approx(ends[1], abs=effect_error(model))
    assert (top["n_templates"] == 32).all()
    assert top["sim_low"].notna().all()


def test_the_band_ends_where_no_disjoint_set_exists(found):
    band = rows_of(found, "random_band")
    counts = band.groupby("k").size()
    assert counts.to_dict() == {1: 4, 2: 4, 3: 4, 8: 1}
    assert band["sim_low"].isna().all()


def test_marginal_effects_are_differences_of_measured_sets(found):
    whole = {}
    for row in rows_of(found, "marginal").to_dict("records"):
        one = HeadSet.parse(row["heads"], (4, 4, 4, 4))
        rest = str(HeadSet.of(head for head in one if (head.layer, head.head) != (row["layer"], row["head"])))
        left = rows_of(found, "leave_one_in")
        left = left[(left["heads"] == rest) & (left["layer"] == row["layer"]) & (left["head"] == row["head"])]
        whole.setdefault(row["heads"], []).append(row["estimate"] + left["estimate"].iloc[0])
    for sums in whole.values():  # effect with it back + what it adds = the whole set's effect, whichever head it is
        assert sums == pytest.approx([sums[0]] * len(sums), abs=FLOAT64)


def test_both_halves_are_disjoint_and_cover_every_prompt(asked):
    _, profile, sweep = asked
    both = orders(sweep, "gratitude", seed=0)
    assert set(both[0].chosen_on) == set(both[1].prompts)
    assert not set(both[0].chosen_on) & set(both[0].prompts)
    assert set(both[0].chosen_on) | set(both[0].prompts) == {p.id for p in profile.prompts_of("gratitude")}
    templates = {p.id: p.template for p in profile.prompts_of("gratitude")}
    assert not {templates[i] for i in both[0].chosen_on} & {templates[i] for i in both[0].prompts}
    assert [one.heads for one in choose_top(sweep, "gratitude", 1, seed=0)] == [both[0].top(1)]


def test_gaps_are_prompts_minus_their_own_controls(asked):
    _, profile, sweep = asked
    assay = sweep.tables["assay"].set_index("concept")["estimate"]
    gaps = concept_gaps(sweep, "gratitude")
    assert np.mean(list(gaps.values())) == pytest.approx(assay["gratitude"], abs=FLOAT64)
    assert len(gaps) == len(profile.prompts_of("gratitude"))


def test_a_set_named_twice_is_run_once(asked, monkeypatch):
    from headscope.study import Study

    model, profile, _ = asked
    study = Study(model, profile, concepts="gratitude", batch_tokens=4096)
    changes = Changes(study, "gratitude")
    asked_for = []

    def measure(edits, rows):
        asked_for.append(len(edits))
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "measure", measure)
    one = HeadSet.parse("1:1", model.heads_per_layer)
    with pytest.raises(KeyboardInterrupt):
        changes.of([one, one], changes.places(changes.ids))
    assert asked_for == [1]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"top_k": 17}, "top_k does not fit"),
        ({"top_k": 0}, "top_k does not fit"),
        ({"share": 0.0}, "share"),
        ({"share": 1.1}, "share"),
        ({"n_random": 0}, "random"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_any_pass(asked, monkeypatch, wrong, words):
    model, profile, sweep = asked
    monkeypatch.setattr("headscope.study.Study.stage", None)
    with pytest.raises(RequestError, match=words):
        hs.curves(model, profile, sweep, **wrong)


def test_curves_need_every_head(asked):
    model, profile, _ = asked
    part = hs.sweep(model, profile, concepts="gratitude", edits=("mean",), heads="1:*")
    with pytest.raises(RequestError, match="every head"):
        hs.curves(model, profile, part)


def test_a_reliable_ranking_is_told_and_an_answer_that_holds_without_any_template(asked):
    model, profile, sweep = asked
    screen = hs.screen(model, profile, query="readout", concepts="gratitude")
    tables = reliability(screen, sweep, top_k=1).tables
    assert list(tables["reliability"]["by"]) == ["screen", "effect"]
    assert set(tables["reliability"].columns) == set(TABLES["reliability"].kinds)
    looked = tables["reliability"].iloc[0]
    assert looked["n_templates"] == 32
    assert looked["spearman_brown"] > 0.99  # the main head's attention is planted and large in every template
    assert looked["jaccard"] == 1.0
    backup = tables["stability"].set_index(["layer", "head"]).loc[(2, 2)]
    assert (backup["answer"], backup["stable_share"]) == ("no effect", 1.0)

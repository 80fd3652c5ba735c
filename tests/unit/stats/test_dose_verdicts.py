"""Each rule of the verdicts on steering, and that what is missing never makes one more favourable."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headscope.stats import dose_verdicts as words
from headscope.stats.damage import Damage
from headscope.stats.dose_verdicts import DoseEffect, DoseEvidence, decide
from headscope.stats.nulls import Placed, place_among
from headscope.stats.verdicts import DAMAGE_UNBOUNDED, NO_VERDICT, UNDECIDED, Criteria
from headscope.terms import RANDOM_HEADS, RANDOM_VECTOR

RULES = Criteria()
DELTA = 0.1
FREE, HARM, OPEN = Damage(1.01, 1.0, 1.02, 20), Damage(1.2, 1.1, 1.3, 20), Damage(1.02, 0.98, 1.06, 20)
BEYOND, ONE_OF_TEN = Placed(100, 0, 1 / 101, 1 / 101, 0.0), place_among(1, [2] * 2 + [0] * 18, n_planned=20)
LIKE = place_among(1.0, [2.0] * 10, n_planned=100, stopped=True)
FEW = place_among(1.0, [0.0] * 15, n_planned=15)
NOTHING = Placed(0, 0, math.nan, math.nan, math.nan)


SPECIFIC = {"anger": (0.3, 0.5), "apology": (0.4, 0.6)}


def dose(
    value: float, estimate: float, damage: Damage = FREE, half: float = 0.05, *, specificity=SPECIFIC
) -> DoseEffect:
    return DoseEffect(value, value, estimate, estimate - half, estimate + half, 40.0, damage, specificity)


def evidence(**changes) -> DoseEvidence:
    """A set that steers; a change makes it fail a rule."""
    doses = (dose(1, 0.12), dose(2, 0.4), dose(4, 0.8))
    start = DoseEvidence(
        edit="add", noun="concept", shown=True, n_templates=20, slope=0.2, low=0.15, high=0.25, threshold=DELTA,
        doses=doses, random_vectors=BEYOND, random_heads=BEYOND,
    )  # fmt: skip
    return replace(start, **changes)


DOWN = {"slope": -0.2, "low": -0.25, "high": -0.15, "doses": (dose(1, -0.12), dose(2, -0.4))}
NAN = {"low": math.nan, "high": math.nan}
CASES = {
    "a set that steers": ({}, words.STEERS),
    "fewer than six templates": (NAN, NO_VERDICT),
    "not shown": ({"shown": False}, NO_VERDICT),
    "shown or not": ({"shown": None}, NO_VERDICT),
    "a dose without interval": ({"doses": (dose(1, 0.4), DoseEffect(2, 2))}, UNDECIDED),
    "too small everywhere": ({"doses": (dose(1, 0.01), dose(2, 0.04))}, words.NO_EFFECT_THAT_MATTERS),
    "one dose may be large enough": ({"doses": (dose(1, 0.01), dose(2, 0.08))}, UNDECIDED),
    "up, then down": ({"doses": (dose(1, 0.4), dose(2, -0.4))}, words.NOT_ONE_WAY),
    "up, then down, slope open": ({"doses": (dose(1, 0.4), dose(2, -0.4)), "low": -0.1}, words.NOT_ONE_WAY),
    "up at both ends": ({"doses": (dose(-1, 0.4), dose(1, 0.4))}, words.NOT_ONE_WAY),
    "slope against the dose": ({"low": -0.2, "high": -0.1}, words.NOT_ONE_WAY),
    "slope open": ({"low": -0.1}, UNDECIDED),
    "only below neutral": ({"doses": (dose(-2, -0.4), dose(2, 0.12))}, UNDECIDED),
    "a vector of noise": ({"p_vector": 0.2}, words.NO_VECTOR),
    "a vector that could not be tested": ({"p_vector": math.nan}, words.NO_VECTOR),
    "a vector that holds elsewhere": ({"p_vector": 0.05}, words.STEERS),
    "like random vectors": ({"random_vectors": LIKE}, words.ANY_PUSH),
    "like random heads": ({"random_heads": LIKE}, words.ANY_HEADS),
    "like both": ({"random_vectors": LIKE, "random_heads": LIKE}, words.ANY_PUSH),
    "vectors open": ({"random_vectors": ONE_OF_TEN}, UNDECIDED),
    "heads open": ({"random_heads": ONE_OF_TEN}, UNDECIDED),
    "no vectors": ({"random_vectors": NOTHING}, UNDECIDED),
    "no heads": ({"random_heads": NOTHING}, UNDECIDED),
    "too few other heads": ({"random_heads": FEW}, UNDECIDED),
    "scale needs no vectors": ({"edit": "scale", "random_vectors": NOTHING}, words.STEERS),
    "scale needs heads": ({"edit": "scale", "random_heads": NOTHING}, UNDECIDED),
    "free at first": ({"doses": (dose(1, 0.3), dose(2, 0.8, HARM))}, words.STEERS),
    "harm only": ({"doses": (dose(1, 0.12, OPEN), dose(2, 0.8, HARM))}, words.STEERS_AT_COST),
    "harm before it": ({"doses": (dose(1, 0.12, HARM), dose(2, 0.8))}, DAMAGE_UNBOUNDED),
    "harm open": ({"doses": (dose(1, 0.3, OPEN), dose(2, 0.8, HARM))}, DAMAGE_UNBOUNDED),
    "harm not measured": ({"doses": (dose(1, 0.3, Damage()), dose(2, 0.8))}, DAMAGE_UNBOUNDED),
    "down": (DOWN, words.TURNS_DOWN),
    "no other concept": ({"doses": (dose(2, 0.4, specificity={}),)}, words.STEERS_UNTESTED),
    "down, no other concept": (DOWN | {"doses": (dose(2, -0.4, specificity={}),)}, words.TURNS_DOWN_UNTESTED),
    "another moves as far": (
        {"doses": (dose(2, 0.4, specificity=SPECIFIC | {"joy": (-0.02, 0.03)}),)},
        words.STEERS_NOT_SPECIFIC,
    ),
    "down, another moves as far": (
        DOWN | {"doses": (dose(2, -0.4, specificity={"joy": (-0.02, 0.03)}),)},
        words.TURNS_DOWN_NOT_SPECIFIC,
    ),
    "specificity open": ({"doses": (dose(2, 0.4, specificity={"joy": (0.0, 0.2)}),)}, words.NOT_DECIDED_SPECIFIC),
    "specific at one of two doses": (
        {"doses": (dose(2, 0.4, specificity={"joy": (-0.02, 0.03)}), dose(4, 0.8))},
        words.STEERS,
    ),
    "specific where it harms only": (
        {"doses": (dose(2, 0.4, specificity={"joy": (-0.02, 0.03)}), dose(4, 0.8, HARM))},
        words.STEERS_NOT_SPECIFIC,
    ),
    "down, with harm": (DOWN | {"doses": (dose(2, -0.4, HARM),)}, words.TURNS_DOWN_AT_COST),
    "doses below neutral alone": ({"doses": (dose(-1, -0.4), dose(-2, -0.8))}, words.STEERS),
}


@pytest.mark.parametrize(("changes", "verdict"), CASES.values(), ids=CASES.keys())
def test_each_rule(changes, verdict):
    assert decide(evidence(**changes), RULES)[0] == verdict


def test_every_word_has_a_case():
    names = {value for name, value in vars(words).items() if name.isupper() and isinstance(value, str)}
    names -= {RANDOM_VECTOR, RANDOM_HEADS}
    assert names == {verdict for _, verdict in CASES.values()}


CLAIMS = {words.STEERS, words.STEERS_AT_COST, words.TURNS_DOWN, words.TURNS_DOWN_AT_COST, words.NO_EFFECT_THAT_MATTERS}
PLACES = st.sampled_from([BEYOND, ONE_OF_TEN, LIKE, FEW, NOTHING])
EFFECTS = st.builds(
    dose,
    st.sampled_from([-4, -2, -1, 1, 2, 4]),
    st.sampled_from([-0.8, -0.2, 0.0, 0.08, 0.2, 0.8]),
    st.sampled_from([FREE, HARM, OPEN, Damage()]),
)
ITEMS = st.builds(
    lambda doses, slope, vectors, heads, edit, shown: evidence(
        doses=tuple(doses), slope=slope, low=slope - 0.05, high=slope + 0.05, random_vectors=vectors,
        random_heads=heads, edit=edit, shown=shown,
    ),
    st.lists(EFFECTS, min_size=1, max_size=4, unique_by=lambda one: one.dose), st.sampled_from([-0.3, 0.0, 0.3]),
    PLACES, PLACES, st.sampled_from(["add", "scale"]), st.sampled_from([True, True, False, None]),
)  # fmt: skip


@given(ITEMS, st.data())
def test_what_was_not_measured_never_earns_a_claim(item, data):
    """Whatever is taken away, a claim is lost or stays: none is won, and harm does not become bounded."""
    lost = data.draw(st.sampled_from(["random_vectors", "random_heads", "shown", "interval", "slope", "damage"]))
    at = data.draw(st.integers(0, len(item.doses) - 1))
    if lost in ("random_vectors", "random_heads"):
        less = replace(item, **{lost: NOTHING})
    elif lost == "shown":
        less = replace(item, shown=None)
    elif lost == "slope":
        less = replace(item, low=math.nan, high=math.nan)
    else:
        gone = {"damage": Damage()} if lost == "damage" else {"low": math.nan, "high": math.nan}
        doses = [replace(one, **gone) if i == at else one for i, one in enumerate(item.doses)]
        less = replace(item, doses=tuple(doses))
    before, after = decide(item, RULES)[0], decide(less, RULES)[0]
    assert after == before or after not in CLAIMS


@given(ITEMS)
def test_a_claim_at_no_cost_meets_every_requirement(item):
    verdict, _ = decide(item, RULES)
    if verdict not in (words.STEERS, words.TURNS_DOWN):
        return
    side = [one for one in item.doses if (one.x > 0) == (item.smallest_dose > 0)]
    first = min((one for one in side if abs(one.estimate) > DELTA), key=lambda one: abs(one.x))
    assert item.shown
    assert (item.low > 0) == (verdict == words.STEERS)
    assert (item.high < 0) == (verdict == words.TURNS_DOWN)
    assert item.random_heads.p_value <= 0.05
    assert item.edit == "scale" or item.random_vectors.p_value <= 0.05
    assert all(one.damage.high <= 1.05 for one in side if abs(one.x) <= abs(first.x))


@given(ITEMS)
def test_mirrored_doses_and_effects_are_judged_alike_where_only_one_side_was_asked(item):
    one_side = replace(item, doses=tuple(one for one in item.doses if one.x > 0) or (dose(1, 0.3),))
    turned = tuple(replace(one, dose=-one.dose, x=-one.x, estimate=-one.estimate, low=-one.high, high=-one.low)
                   for one in one_side.doses)  # fmt: skip
    assert decide(replace(one_side, doses=turned), RULES)[0] == decide(one_side, RULES)[0]


def test_reasons_say_the_numbers_that_decide():
    assert "in the set or a larger model" in decide(evidence(random_heads=FEW), RULES)[1]
    assert "cannot be below 0.062" in decide(evidence(random_heads=FEW), RULES)[1]
    like = decide(evidence(random_vectors=LIKE, null_notes={RANDOM_VECTOR: "a note"}), RULES)[1]
    assert "10 of 10 random vectors have as large a slope" in like
    assert like.endswith("(a note)")
    assert "40 templates" in decide(evidence(doses=(dose(2, 0.08),)), RULES)[1]
    assert "bounded up to 4 σ" in decide(evidence(), RULES)[1]
    open_harm = decide(evidence(doses=(dose(1, 0.3, OPEN),)), RULES)[1]
    assert "neither shown nor ruled out" in open_harm
    assert "templates would decide" in open_harm
    assert "2 times" in decide(evidence(edit="scale"), RULES)[1]

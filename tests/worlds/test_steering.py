"""Steering finds in the worlds what was planted: writers raise their concept by the design, others do nothing."""

from functools import partial

import numpy as np
import pytest

from headscope import api
from headscope.terms import PRIMARY, RANDOM_HEADS, RANDOM_VECTOR, RESIDUAL
from headscope.verbs.steer_vectors import ConceptVectors
from headscope.worlds.catalog import worlds
from headscope.worlds.texts import make_profile
from tests.tolerances import DESIGN, effect_error

steer = partial(api.steer, generate=False)  # these worlds have no room for texts
BY_NAME = {world.name: world for world in worlds()}
WRITERS = [("gratitude", "1:2", 4.0), ("anger", "2:0", 3.0)]


@pytest.fixture(scope="module")
def model():
    return BY_NAME["writer"].load()


def gap_in_doses(study, concept, heads):
    """How many doses lead from a control's z to a concept's: |mean difference| / σ, by hand from z itself."""
    (head,) = study.model.head_set(heads)
    vectors = ConceptVectors(study, concept, kind="mean_difference")
    means, tokens = vectors._z[0][head.layer][:, head.head], vectors._z[1][head.layer]
    n = len(vectors.concept_rows)
    difference = means[:n].mean(axis=0) - means[n:].mean(axis=0)  # each template has as many prompts of each
    length = np.linalg.norm(difference)
    along = np.concatenate([of_prompt[:, head.head] @ (difference / length) for of_prompt in tokens])
    return length / along.std(ddof=1)


def rows_of(result, role="single", outcome=PRIMARY):
    table = result.tables["steering"]
    return table[(table["role"] == role) & (table["outcome"] == outcome)].set_index("dose")


@pytest.fixture(scope="module")
def raised(model):
    """Both writers at the dose that leads from a control's output to the concept's, at half of it, and back."""
    profile = make_profile()
    found = {}
    for concept, heads, _ in WRITERS:
        study = api.Study(model, profile, concepts=concept)
        whole = round(gap_in_doses(study, concept, heads), 3)
        doses = (whole, whole / 2, -whole)
        found[concept] = whole, study.steer(heads, doses=doses, each=True, generate=False, n_random=40)
    return found


@pytest.mark.parametrize(("concept", "heads", "nats"), WRITERS)
def test_a_writers_vector_raises_its_concept_by_the_designed_amount(raised, concept, heads, nats):
    """1 %: two norms follow the writer, by ``DESIGN``; a fold's vector and σ come from 19 of 20 templates."""
    whole, result = raised[concept]
    effects = rows_of(result)["estimate"]
    assert effects[whole] == pytest.approx(nats, rel=0.01)
    assert effects[whole / 2] == pytest.approx(nats / 2, rel=0.01)
    assert effects[-whole] == pytest.approx(-nats, rel=0.01)
    assert set(rows_of(result)["heads"]) == {heads}


@pytest.mark.parametrize(("concept", "heads", "nats"), WRITERS)
def test_its_slope_is_the_designed_one_and_beyond_random_vectors(raised, concept, heads, nats):
    whole, result = raised[concept]
    row = result.table[result.table["role"] == "single"].iloc[0]
    assert row["estimate"] == pytest.approx(nats / whole, rel=0.01)
    nulls = result.tables["steering_nulls"]
    random = nulls[(nulls["null"] == RANDOM_VECTOR) & (nulls["dose"] == whole)]
    assert len(random) == row["n_random_vectors"]
    assert random["estimate"].abs().max() < nats
    # a random direction among HEAD_SIZE has a share of 1/sqrt(32) of the writer's on average
    assert random["estimate"].abs().mean() < 0.3 * nats
    assert row["p_random_vectors"] == pytest.approx(1 / 41)
    assert row["p_vector"] < 0.001
    # Every other head of the 16: with 15 of them no p is below 1/16, and so none of a single head can be small here.
    assert len(nulls[(nulls["null"] == RANDOM_HEADS) & (nulls["dose"] == whole)]) == 15
    assert row["p_random_heads"] >= 1 / 16
    assert not row["verdict"].startswith("steers")


def test_a_decoys_vector_does_nothing(model):
    result = steer(model, make_profile(), "1:3", concepts="gratitude", doses="2,50", each=True)
    assert rows_of(result)["estimate"].abs().max() < effect_error(model)
    (row,) = result.table[result.table["role"] == "single"].to_dict("records")
    assert row["verdict"] == "no effect that matters"
    assert row["n_random_vectors"] == 0  # no verdict asks for them


def test_the_residual_stream_is_pushed_as_far_as_the_heads_push_it(model):
    """The writer's own write is a vector of the stream along the concept: pushed there, it does as much."""
    study = api.Study(model, make_profile(), concepts="gratitude")
    doses = (20.0, 40.0)
    result = study.steer("1:2", doses=doses, each=True, generate=False, n_random=1)
    heads, stream = rows_of(result)["estimate"], rows_of(result, RESIDUAL)["estimate"]
    assert (stream.abs() <= heads.abs() * (1 + DESIGN) + effect_error(model)).all()
    assert (stream > 0.0).all()


def test_a_straight_line(raised):
    """z, its projection and the logits are linear in the dose here, but for the norms."""
    for whole, result in raised.values():
        effects = rows_of(result)["estimate"]
        assert effects[whole] == pytest.approx(-effects[-whole], rel=2 * DESIGN)
        assert effects[whole] == pytest.approx(2 * effects[whole / 2], rel=2 * DESIGN)

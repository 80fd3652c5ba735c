"""Teacher-forced passes: what a piece gives depends on the piece alone, so pieces may run anywhere, in any order;
and what spares work changes no number."""

import pickle

import numpy as np
import pytest

from headscope.heads import HeadSet
from headscope.measure.edits import Arm
from headscope.measure.forced import ForcedOutcomes
from headscope.measure.outcomes import log_odds_name
from headscope.models.running import of_tokens
from tests.tolerances import effect_error, nats_error

ANGER = log_odds_name("anger")


def same_bits(first: ForcedOutcomes, second: ForcedOutcomes) -> bool:
    counts = ("n_forward_tokens", "n_layer_tokens", "n_halved")
    return all(getattr(first, name) == getattr(second, name) for name in counts) and all(
        np.array_equal(getattr(first, arms)[name], getattr(second, arms)[name], equal_nan=True)
        for arms in ("baseline", "edited")
        for name in first.edited
    )


def test_every_row_meets_every_arm_once(passes_of, arms):
    pieces = passes_of().plan(arms)
    met = [(row, arm) for piece in pieces for row in piece.rows for arm in piece.arms]
    assert len(met) == len(set(met)) == len({row for row, _ in met}) * len(arms)
    assert len(pieces) > 4, "the laws below need several pieces"


def test_bits_do_not_depend_on_who_runs_a_piece_or_when(passes_of, arms):
    here = passes_of().measure(arms)

    def backwards(pieces, run):
        elsewhere = passes_of()
        sent = pickle.loads(pickle.dumps(list(pieces)))
        results = [elsewhere.run(piece, arms) for piece in sent[::-1]]
        return iter(results[::-1])

    assert same_bits(here, passes_of().measure(arms, work=backwards))


def test_results_are_plain_arrays(passes_of, arms):
    passes = passes_of()
    result = passes.run(passes.plan(arms)[0], arms)
    assert all(type(value) is np.ndarray and value.dtype in (np.float64, np.int64) for value in result.values())


def test_without_arms_the_unedited_model_is_measured(model, passes_of, arms):
    alone, beside = passes_of().measure([]), passes_of().measure(arms)
    assert alone.edited[ANGER].shape[0] == 0
    assert np.allclose(alone.baseline[ANGER], beside.baseline[ANGER], atol=nats_error(model))
    assert np.isfinite(alone.baseline[ANGER]).all()


def test_a_result_too_few_is_refused(passes_of, arms):
    with pytest.raises(ValueError, match="shorter"):
        passes_of().measure(arms, work=lambda pieces, run: map(run, pieces[1:]))


@pytest.mark.parametrize("batch_tokens", [256, 1024, 8192])
def test_passes_begun_at_the_edited_block_give_the_same_numbers(model, passes_of, arms, monkeypatch, batch_tokens):
    begun = passes_of(batch_tokens).measure(arms)
    monkeypatch.setattr(model, "skips_lower_blocks", False)
    whole = passes_of(batch_tokens).measure(arms)
    assert begun.n_layer_tokens < whole.n_layer_tokens == whole.n_forward_tokens * len(model.anatomy)
    for name in begun.edited:
        for arms in ("baseline", "edited"):
            both = (getattr(one, arms)[name] for one in (begun, whole))
            assert np.allclose(*both, atol=effect_error(model), equal_nan=True)


def test_a_model_may_meet_its_first_edit_above_the_lowest_block(passes_of, model, monkeypatch):
    """What is found out about a model once, by a pass of its own, is found while every block runs."""
    monkeypatch.setattr(model, "value_biases", None)
    arms = [Arm(HeadSet.parse("3:1", model.heads_per_layer), "mean")]
    assert np.isfinite(passes_of().measure(arms).edited[ANGER]).all()


def test_logits_of_the_lexicons_tokens_alone_give_the_same_numbers(model, passes_of, arms, monkeypatch):
    """Batches without own tokens run the language-model head for these tokens only, where the load check allows it."""
    assert model.gives_some_tokens
    numbers: list[int] = []

    def seen(model, kept):
        numbers.append(len(kept))
        return of_tokens(model, kept)

    monkeypatch.setattr("headscope.measure.forced.of_tokens", seen)
    some = passes_of(256, damage=False).measure(arms)
    assert 0 < max(numbers) < model.hf.config.vocab_size
    numbers.clear()
    monkeypatch.setattr(model, "gives_some_tokens", False)
    whole = passes_of(256, damage=False).measure(arms)
    assert not numbers
    for kind in ("baseline", "edited"):
        both = (getattr(one, kind)[ANGER] for one in (some, whole))
        assert np.allclose(*both, atol=effect_error(model))

"""Prompts longer than a sliding window beside short ones that are packed as trees: each reads as it does alone."""

import numpy as np
import pytest

from headscope.measure.attention import Probe, read_probes, rows_of
from headscope.measure.direct import measure_direct
from headscope.measure.edits import ControlStates
from headscope.measure.layout import PromptLayout
from headscope.measure.outcomes import lexicon_outcomes
from headscope.measure.source_passes import watch_rows
from headscope.models.head_model import HeadModel
from headscope.models.loading import load_model
from tests.laws.families import make, word_tokenizer
from tests.tolerances import close, effect_error
from tests.unit.measure.made_up import asked, lexicons


@pytest.mark.parametrize("family", ["mistral", "gemma2"])
def test_long_prompts_and_trees_in_one_request(family: str) -> None:
    model = load_model(make(family, sliding_window=16, max_position_embeddings=128), tokenizer=word_tokenizer())
    assert model.tree_row_limit == 16
    sequences = [[1, *(3 + i % 5 for i in range(30))], *([1, 2, 3, 4, 5 + i] for i in range(8))]
    assert {row.is_chain for row, _ in rows_of(model, sequences, pack=True)} == {True, False}
    probes = [Probe(index, (len(ids) - 1,), (2,)) for index, ids in enumerate(sequences)]
    packed, alone = (read_probes(model, sequences, probes, batch_tokens=4000, pack=pack) for pack in (True, False))
    for measure, values in alone.items():
        assert close(packed[measure], values, model), measure
    assert np.isfinite(alone["attention"]).all()


@pytest.fixture(scope="module")
def windowed() -> HeadModel:
    return load_model(make("mistral", sliding_window=16, max_position_embeddings=128), tokenizer=word_tokenizer())


def short_and_long() -> list[PromptLayout]:
    """One row that holds a tree, and two chains longer than the window."""
    short, long = [1, 3, 4, 5, 6], [1, *(3 + i % 5 for i in range(30))]
    return [asked("short", "joy", "a", short, pack=True), asked("long", "joy", "b", long, pack=False)]


def test_direct_attribution_of_long_prompts_beside_trees(windowed: HeadModel) -> None:
    prompts = short_and_long()
    controls = [asked(f"c{t}", "calm", t, [1, 8, 9, n], pack=True) for n, t in enumerate("ab", start=10)]
    states = ControlStates(windowed, controls, kinds=["mean"], seed=0, batch_tokens=512)
    together, alone = (
        measure_direct(windowed, prompts, lexicon_outcomes(lexicons()), states=states, batch_tokens=n)
        for n in (4000, 1)
    )
    for name in ("heads", "effect", "total"):
        apart = np.abs(getattr(together, name) - getattr(alone, name)).max()
        assert apart < effect_error(windowed), name


@pytest.mark.parametrize("what", ["z", "pattern", "v"])
def test_sources_of_patches_longer_than_a_window_beside_trees(windowed: HeadModel, what: str) -> None:
    rows = [row for prompt in short_and_long() for row in prompt.rows]
    last = len(windowed.anatomy) - 1

    def seen(batch_tokens: int) -> dict[int, np.ndarray]:
        """The last layer's reading of each row, without padding."""

        def keep(_, members, values):
            for b, index in enumerate(members):
                n = len(rows[index])
                yield index, (values[b, :, :n, :n] if what == "pattern" else values[b, :n]).numpy().copy()

        found = []
        watch_rows(windowed, rows, keep, found.append, what=what, layers=[last], batch_tokens=batch_tokens)
        return dict(found)

    together, alone = seen(4000), seen(1)
    assert together.keys() == alone.keys() == set(range(len(rows)))
    for index, values in alone.items():
        assert close(together[index], values, windowed), index

"""Laws of named random streams."""

import numpy as np

from headscope.random_streams import generator


def test_a_stream_is_its_seed_and_name_alone():
    first = generator(0, "generation", "gratitude-001", 0)
    generator(0, "something else").random(1000)
    again = generator(0, "generation", "gratitude-001", 0)
    assert np.array_equal(first.random(100), again.random(100))


def test_streams_of_other_names_or_seeds_differ():
    draws = [generator(seed, *names).random() for seed in (0, 1) for names in [("a",), ("b",), ("a", "b"), ("ab",)]]
    assert len(set(draws)) == len(draws)

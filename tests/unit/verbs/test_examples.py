"""The attention rows kept for people to see are the model's own, and the prompts shown were not chosen by result."""

from __future__ import annotations

import numpy as np
import pytest

from headscope.api import screen
from headscope.models.loading import load_model
from headscope.profiles.loading import load_profile
from headscope.verbs.examples import EXAMPLES
from headscope.verbs.screen import ScreenResult
from tests.tolerances import close, pass_error


@pytest.fixture(scope="module")
def screened() -> ScreenResult:
    return screen(load_model("demo"), load_profile("baseline"), query="last", concepts=["gratitude", "anger"])


def test_a_row_is_a_distribution_over_the_tokens_the_query_sees(screened: ScreenResult):
    rows = screened.values["example_attention"]
    assert rows.dims == ("example", "layer", "head", "token")
    np.testing.assert_allclose(rows.sum("token"), 1.0, atol=pass_error(load_model("demo")))
    for example, query in zip(rows.to_numpy(), rows["example_query"].to_numpy(), strict=True):
        assert np.isnan(example[..., query + 1 :]).all()
        assert np.isfinite(example[..., : query + 1]).all()


def test_the_span_holds_what_the_screen_measured(screened: ScreenResult):
    values = screened.values
    on_span = values["example_attention"].where(values["token_in_span"]).sum("token")
    assert close(on_span, values["attention"].sel(prompt=values["example"].to_numpy()), load_model("demo"))


def test_tokens_put_together_give_the_prompt(screened: ScreenResult):
    texts = {prompt.id: prompt.text for prompt in load_profile("baseline").prompts}
    for name, tokens in zip(
        screened.values["example"].to_numpy(), screened.values["token_text"].to_numpy(), strict=True
    ):
        assert "".join(tokens) == texts[str(name)]


def test_examples_are_the_first_prompts_of_different_templates(screened: ScreenResult):
    values = screened.values
    for concept in ("gratitude", "anger"):
        mine = values["example"][values["example_concept"] == concept].to_numpy()
        of_concept = values["prompt"][values["concept"] == concept]
        first = of_concept.to_dataframe(name="id").drop_duplicates("template")["id"].head(EXAMPLES)
        assert list(mine) == list(first)

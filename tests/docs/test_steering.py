"""The page on steering says what the tables beside it say."""

import pandas as pd
import pytest

from docs.steering import IMAGES, KEPT, PAGE, TITLES
from headscope.tables import TABLES
from headscope.terms import PRIMARIES, RESIDUAL


@pytest.mark.parametrize("name", TITLES)
def test_numbers_and_verdicts_are_those_of_the_tables(name):
    page = PAGE.read_text(encoding="utf-8").partition(f"begin: {name},")[2].partition("<!-- end")[0]
    response, steering = (pd.read_csv(KEPT / name / f"{table}.csv") for table in ("dose_response", "steering"))
    assert list(response.columns) == TABLES["dose_response"].columns
    assert list(steering.columns) == TABLES["steering"].columns
    for verdict in response.loc[response["role"] != RESIDUAL, "verdict"]:
        assert f"**{verdict}**" in page
    for row in steering[steering["outcome"].isin(PRIMARIES)].to_dict("records"):
        assert f"{row['estimate']:+.2f} [{row['ci_low']:+.2f}, {row['ci_high']:+.2f}]" in page
    assert (IMAGES / f"steering_{name}.png").is_file()
    assert f"images/steering_{name}.png" in page

"""Whatever stands in the columns of a kind, its importer gives rows that load, or one of headscope's own errors."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from headscope.errors import ProfileError
from headscope.profiles.importing.importing import written
from headscope.profiles.importing.kinds import Wanted
from headscope.profiles.importing.registry import IMPORTERS
from headscope.profiles.types import Profile
from tests.unit.profiles.importing.files_of_tasks import SAMPLES, imported, put

COLUMNS = {
    "eap-ig": ["clean", "corrupted", "correct_idx", "incorrect_idx", "label", "plural", "answers", "answers_idx"],
    "mib": [
        "prompt",
        "metadata",
        "choices",
        "answerKey",
        "x_counterfactual",
        "entity",
        "attribute",
        "label",
        "Context1",
    ],
    "function-vectors": ["input", "output"],
    "caa": ["question", "answer_matching_behavior", "answer_not_matching_behavior"],
    "blimp": [
        "sentence_good",
        "sentence_bad",
        "UID",
        "one_prefix_prefix",
        "one_prefix_word_good",
        "one_prefix_word_bad",
    ],
    "transformer-lens": ["prompts", "corrupted_prompts", "answers"],
    "causalgym": ["base", "src", "base_label", "src_label"],
    "table": ["prompt", "answer", "foil", "corrupted", "template", "task"],
    "refusal": ["goal", "target"],
}
TEXTS = st.sampled_from(["", " ", "a", "ab", "a b", "The dog near", "A 17", "1741 to 17", "[1, 2]", "['a', \"b\"]", "{",
                         "\0", "é\u0301", "日本", "(A)", "\ud800", "overall", "x" * 40, "0", "1"])  # fmt: skip
SIMPLE = st.none() | st.booleans() | st.integers(-2, 120) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
CELLS = st.recursive(
    SIMPLE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["prompt", "label", "text", "indirect_object", "subject"]), inner, max_size=3)
    ),
    max_leaves=5,
)
DECODED = Wanted(
    lambda token: None if token > 100 else [" a", "b", " ", "\N{REPLACEMENT CHARACTER}", " dog"][token % 5]
)


@pytest.mark.parametrize("kind", COLUMNS)
@settings(max_examples=60, deadline=None)
@given(data=st.data(), has_tokenizer=st.booleans(), n_shots=st.integers(2, 3))
def test_any_cells_give_rows_that_load_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject, has_tokenizer: bool, n_shots: int
) -> None:
    row = st.fixed_dictionaries({}, optional=dict.fromkeys(COLUMNS[kind], CELLS))
    rows = data.draw(st.lists(row, max_size=5))
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / "fuzz.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows) or "\n", encoding="utf-8")
    said: dict[str, Any] = {**vars(DECODED if has_tokenizer else Wanted()), "n_shots": n_shots}
    try:
        found: object = written(imported(path, Wanted(**said), kind), folder / "made", "fuzz")
    except ProfileError as error:
        found = error
    assert isinstance(found, Profile) or "fuzz" in str(found)


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_change_of_a_good_file_gives_rows_that_load_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    sample = SAMPLES[name]
    folder = tmp_path_factory.mktemp("changed")
    path = put(folder, sample)
    text = sample.content
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 12)))
    filler = data.draw(st.text(st.sampled_from(" ,;\"'[]{}:01aé\n\r\t\\"), max_size=5))
    path.write_text(text[:start] + filler + text[end:], encoding="utf-8", newline="")
    try:
        found: object = written(imported(path, sample.wanted), folder / "made", sample.name)
    except ProfileError as error:
        found = error
    assert isinstance(found, Profile) or path.stem in str(found)


def test_every_kind_is_tried() -> None:
    assert set(COLUMNS) == set(IMPORTERS)
    assert {sample.kind for sample in SAMPLES.values()} == set(IMPORTERS) - {"refusal"}

"""An outcome of the user's own file: imported because it is named, measured as what it says, refused with its line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from headscope.errors import RequestError
from headscope.measure.outcomes import Outcome, chosen_outcomes
from headscope.measure.outcomes.outcome import REGISTERED
from headscope.measure.outcomes.own_code import scores_of_texts

FILE = """
import headscope as hs

LETTERS = "aeiou"


@hs.outcome("n_vowels", unit="letters", read_at="text")
def counted(texts, prompts):
    return [sum(text.count(letter) for letter in LETTERS) for text in texts]


def n_commas(texts, prompts):
    return [text.count(",") for text in texts]


def of_logits(logits, places):
    return logits[:, 0]


def of_one(text):
    return len(text)


def kl_commas(texts, prompts):
    return [0 for _ in texts]


NUMBER = 7
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with a file of outcomes; what it adds to this process is gone when the test is."""
    before, modules, path = dict(REGISTERED), dict(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some_outcomes.py").write_text(FILE)
    yield tmp_path
    REGISTERED.clear()
    REGISTERED.update(before)
    for name in sys.modules.keys() - modules.keys():
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]
    sys.path[:] = path


def one(asked: str) -> Outcome:
    (outcome,) = chosen_outcomes([asked])
    return outcome


def test_a_file_or_a_module_of_the_current_folder_is_found_by_its_name(folder: Path) -> None:
    for asked in ("some_outcomes.py:n_vowels", "some_outcomes:n_vowels", f"{folder}/some_outcomes.py:counted"):
        found = one(asked)
        assert (found.name, found.unit, found.read_at) == ("n_vowels", "letters", "text")
        assert found.of_texts(["a bee", ""], ["", ""]).tolist() == [3, 0]
    plain = one("some_outcomes.py:n_commas")
    assert (plain.name, plain.unit, plain.read_at) == ("n_commas", "", "text")
    assert plain.of_texts(["a, b, c"], [""]).tolist() == [2]
    assert one("n_commas") == plain  # by its name alone from then on
    assert sorted(path.name for path in folder.iterdir()) == ["some_outcomes.py"]


def test_nothing_is_imported_that_was_not_named(folder: Path) -> None:
    (folder / "other_outcomes.py").write_text("raise SystemExit(3)\n")
    one("some_outcomes.py:n_commas")
    assert "other_outcomes" not in sys.modules


@pytest.mark.parametrize("asked", ["some_outcomes.py:n_commas", "some_outcomes:n_commas", "some_outcomes.py:n_vowels"])
def test_the_same_file_again_is_the_same_request(asked: str) -> None:
    assert len({str(one(asked).rests_on) for _ in range(3)}) == 1


def test_a_changed_function_without_a_decorator_is_the_new_one(folder: Path) -> None:
    first = one("some_outcomes.py:n_commas")
    (folder / "some_outcomes.py").write_text(FILE.replace('","', '";"'))
    second = one("some_outcomes.py:n_commas")
    assert second.of_texts(["a, b; c; d"], [""]).tolist() == [2]
    assert first.rests_on != second.rests_on
    (folder / "some_outcomes.py").write_text("NOTHING = 1\n")
    with pytest.raises(RequestError, match="nothing of that name"):
        one("some_outcomes.py:n_commas")


def test_a_changed_file_is_run_again_and_is_another_request(folder: Path) -> None:
    first = one("some_outcomes.py:n_vowels")
    (folder / "some_outcomes.py").write_text(FILE.replace("aeiou", "aeiop"))
    second = one("some_outcomes.py:n_vowels")
    assert second.of_texts(["up"], [""]).tolist() == [1]
    assert first.rests_on != second.rests_on
    (folder / "some_outcomes.py").write_text(FILE)
    assert one("some_outcomes.py:n_vowels").rests_on == first.rests_on


@pytest.mark.parametrize(
    ("asked", "content", "words"),
    [
        ("gone.py:x", FILE, ('there is no file "gone.py"',)),
        ("gone_module:x", FILE, ('there is no module "gone_module"', "FILE.py:NAME")),
        ("own.py:n_words", FILE, ("names no outcome", "n_vowels, counted, n_commas", "nothing of that name")),
        ("own.py:NUMBER", FILE, ("names no outcome", "int")),
        ("own.py:of_logits", FILE, ("no function of texts", "def of_logits(logits, places)", "@headscope.outcome")),
        ("own.py:of_one", FILE, ("no function of texts", "def of_one(texts, prompts)", "def of_one(text)")),
        ("own.py:kl_commas", FILE, ('cannot be named "kl_commas"', "kl_")),
        ("own.py:x", "a = 1\nraise KeyError('b')\n", ('the code of "own" raises', "KeyError", "own.py, line 2")),
        ("own.py:x", "def f(:\n", ('the code of "own" raises', "SyntaxError", "own.py, line 1")),
        ("own.py:x", "import not_there_at_all\n", ("ModuleNotFoundError", "own.py, line 1")),
        (
            "own.py:x",
            "import headscope as hs\n@hs.outcome('kl_x', unit='')\ndef x(a, b):\n    return a\n",
            ('cannot be named "kl_x"',),
        ),
        ("json.py:x", FILE, ("has the name of another module", "rename the file")),
        ("my-own.py:x", FILE, ("cannot be imported", "letters, digits and _")),
    ],
)
def test_what_is_wrong_with_it_is_said(asked: str, content: str, words: tuple[str, ...], folder: Path) -> None:
    name = asked.partition(":")[0]
    if name.endswith(".py") and name != "gone.py":
        (folder / name).write_text(content)
    before = sorted(folder.iterdir())
    with pytest.raises(RequestError) as caught:
        chosen_outcomes([asked])
    for word in words:
        assert word in str(caught.value)
    assert sorted(folder.iterdir()) == before


def test_two_files_cannot_give_one_name(folder: Path) -> None:
    (folder / "more_outcomes.py").write_text(FILE)
    with pytest.raises(RequestError, match='two outcomes have the name "n_commas"'):
        chosen_outcomes(["some_outcomes.py:n_commas", "more_outcomes.py:n_commas"])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("len(texts)", ("one number for each text", "2 numbers")),
        ("[[1, 2] for _ in texts]", ("one number for each text", "[2, 2]")),
        ("['many' for _ in texts]", ('outcome "wrong" fails', "ValueError")),
        ("[1 / len(text) for text in texts]", ("ZeroDivisionError", "own.py, line 2")),
        ("[float('inf') if text else 0.0 for text in texts]", ("infinite", "inf for the text 'a'")),
    ],
)
def test_a_function_that_gives_no_number_a_text_is_refused(body: str, words: tuple[str, ...], folder: Path) -> None:
    (folder / "own.py").write_text(f"def wrong(texts, prompts):\n    return {body}\n")
    outcome = one("own.py:wrong")
    with pytest.raises(RequestError) as caught:
        scores_of_texts(outcome, ["a", ""], ["", ""])
    for word in words:
        assert word in str(caught.value)


def test_a_text_without_a_value_is_missing(folder: Path) -> None:
    (folder / "own.py").write_text("def some(texts, prompts):\n    return [len(t) or float('nan') for t in texts]\n")
    values = scores_of_texts(one("own.py:some"), ["ab", ""], ["", ""])
    assert np.array_equal(values, [2.0, np.nan], equal_nan=True)

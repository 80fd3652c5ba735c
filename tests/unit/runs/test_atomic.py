"""Laws of atomic writes and of plain data."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from headscope.errors import RequestError, WorkError
from headscope.runs import atomic
from headscope.runs.atomic import (
    canonical_json,
    check_folder_writable,
    check_writable,
    plain,
    write_bytes_atomic,
    write_json_atomic,
    write_text_atomic,
)


def test_a_file_is_replaced_in_one_step_and_its_folder_is_made(tmp_path: Path) -> None:
    path = write_text_atomic(tmp_path / "a" / "b" / "c.txt", "eins\n")
    assert write_text_atomic(path, "zwei 感謝\n") == path
    assert path.read_bytes() == "zwei 感謝\n".encode()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("stage", ["fsync", "replace"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_interrupts_a_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, error: BaseException
) -> None:
    path = write_text_atomic(tmp_path / "a.txt", "old")

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(os if stage == "fsync" else Path, stage, fail)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else WorkError):
        write_text_atomic(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    write_text_atomic(tmp_path / "link", "new")
    assert (tmp_path / "secret").read_text() == "secret"


def test_a_path_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check_writable(tmp_path / "new" / "folder" / "x.json")
    check_folder_writable(tmp_path / "new" / "folder")
    for bad in (tmp_path, tmp_path / "file" / "x.json", tmp_path / "file" / "a" / "x.json"):
        with pytest.raises(RequestError, match="folder"):
            check_writable(bad)
        with pytest.raises(RequestError):
            write_bytes_atomic(bad, b"")
    with pytest.raises(RequestError, match="a file"):
        check_folder_writable(tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_folder_without_permission_is_found_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic.os, "access", lambda *_: False)  # root is allowed everything
    with pytest.raises(RequestError, match="no permission"):
        check_writable(tmp_path / "x.json")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("aé感"),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    )
)
def test_json_values_are_plain_already_and_have_one_canonical_form(value: Any) -> None:
    assert plain(value) == value
    assert json.loads(canonical_json(value)) == value
    if isinstance(value, dict):
        assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


def test_what_json_has_no_word_for_is_made_plain(tmp_path: Path) -> None:
    given_value = {
        1: (np.float32(0.5), np.int64(3), np.bool_(True)),
        "array": np.array([[1.0, np.nan], [np.inf, -np.inf]]),
        "set": {"b", "a"},
        "nan": float("nan"),
    }
    path = write_json_atomic(tmp_path / "a.json", given_value)
    assert json.loads(path.read_text()) == {
        "1": [0.5, 3, True],
        "array": [[1.0, None], ["Infinity", "-Infinity"]],
        "set": ["a", "b"],
        "nan": None,
    }
    for bad in (object(), b"bytes", {"x": Path()}):
        with pytest.raises(WorkError, match="no place in JSON"):
            plain(bad)

"""Laws of pickles as data: plain values come back, and no payload runs."""

from __future__ import annotations

import collections
import datetime
import os
import pickle
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from headscope.errors import RequestError
from headscope.runs import safe_pickle
from headscope.runs.safe_pickle import plain_pickle, read_plain_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=10,
)


class Calls:
    """A pickle of it calls ``function`` when it is loaded in the ordinary way."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


class Stateful:
    def __init__(self) -> None:
        self.state = {"a": 1}


def payloads(target: Path) -> dict[str, Any]:
    return {
        "os.system": Calls(os.system, f"touch {target}"),
        "eval": Calls(eval, f"open({str(target)!r}, 'w')"),
        "exec": Calls(exec, f"open({str(target)!r}, 'w')"),
        "open": Calls(open, str(target), "w"),
        "getattr": Calls(getattr, "", "join"),
        "import": Calls(__import__, "antigravity"),
        "pickle in a pickle": Calls(pickle.loads, pickle.dumps(Calls(os.system, f"touch {target}"))),
        "nested": {"heads": [(1, 10), [Calls(os.system, f"touch {target}")]]},
        "as a key": {Calls(os.system, f"touch {target}"): 1},
        "an instance": Stateful(),
        "a function": os.system,
        "a class": Stateful,
        "a date": datetime.datetime(2020, 1, 1),
        "a path": Path("x"),
        "an array": np.zeros(2),
        "a numpy number": np.float64(1.0),
        "an ordered dict": collections.OrderedDict(a=1),
        "a complex number": 1j,
    }


@settings(max_examples=100, deadline=None)
@given(value=PLAIN, protocol=st.sampled_from(PROTOCOLS))
def test_plain_values_come_back_in_every_protocol(value: Any, protocol: int) -> None:
    assert plain_pickle(pickle.dumps(value, protocol), "here") == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_payload_runs_in_any_protocol(tmp_path: Path, protocol: int) -> None:
    target = tmp_path / "pwned"
    for name, payload in payloads(target).items():
        data = pickle.dumps(payload, protocol)
        (tmp_path / "x.pkl").write_bytes(data)
        with pytest.raises(RequestError, match="more than plain data and was not run"):
            read_plain_pickle(tmp_path / "x.pkl")
        assert not target.exists(), name
    pickle.loads(pickle.dumps(payloads(target)["os.system"], protocol))
    assert target.exists()  # so the payload is a real one


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_unpickler_itself_looks_up_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int) -> None:
    """The second wall holds alone: with the first one down nothing is found either."""
    monkeypatch.setattr(safe_pickle, "_check_instructions", lambda *_: None)
    target = tmp_path / "pwned"
    for name, payload in payloads(target).items():
        with pytest.raises(RequestError, match="pickle is broken"):
            plain_pickle(pickle.dumps(payload, protocol), "here")
        assert not target.exists(), name


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"(cos\nsystem\nS'true'\no.",
        b"\x80\x02cos\nsystem\n\x81.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"Pid\n.",
        b"I1\nQ.",
        b"\x80\x02\x82\x01.",
        b"\x80\x05\x97.",
    ],
)
def test_hand_made_instructions_are_refused(data: bytes) -> None:
    with pytest.raises(RequestError, match="not run"):
        plain_pickle(data, "here")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"\x80\x04",
        b"\x80\xff.",
        b"]",
        b"a.",
        b"0.",
        b"h\x05.",
        b"Nr\xff\xff\xff\x7f.",  # memo place 2 billion
        b"\x80\x04X\xff\xff\xff\x7fa.",  # text of 2 GB that is not there
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa.",
        b"I" + b"9" * 5000 + b"\n.",
        b"]}s.",
        b"\x80\x04}(]Nu.",  # a list as key
        b"X\x01\x00\x00\x00\xff.",
    ],
)
def test_broken_pickles_are_refused(data: bytes) -> None:
    with pytest.raises(RequestError, match="broken"):
        plain_pickle(data, "here")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | PLAIN.map(pickle.dumps), st.integers(0, 60), st.binary(max_size=3))
def test_any_bytes_give_plain_data_or_a_clear_error(data: bytes, position: int, filler: bytes) -> None:
    changed = data[:position] + filler + data[position + 1 :]
    try:
        assert_plain(plain_pickle(changed, "here"))
    except RequestError as error:
        assert str(error).endswith(("here", "yourself"))  # noqa: PT017 - either outcome is right


def assert_plain(value: Any) -> None:
    assert type(value) in (type(None), bool, int, float, str, bytes, list, tuple, dict, set, frozenset)
    if isinstance(value, dict):
        assert_plain([*value, *value.values()])
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            assert_plain(item)


def test_what_unfolds_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_pickle, "LIMIT_VALUES", 20_000)
    doubled: list[Any] = []
    for _ in range(60):
        doubled = [doubled, doubled]
    looped: list[Any] = []
    looped.append(looped)
    for value in (doubled, looped, [0] * 20_001):
        with pytest.raises(RequestError, match="unfolds into too much"):
            plain_pickle(pickle.dumps(value), "here")


def test_a_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_pickle, "LIMIT_BYTES", 100)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps("x" * 200))
    with pytest.raises(RequestError, match="too large"):
        read_plain_pickle(tmp_path / "x.pkl")
    with pytest.raises(RequestError, match="cannot be read"):
        read_plain_pickle(tmp_path / "none.pkl")

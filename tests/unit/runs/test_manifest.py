"""Laws of the manifest: it comes back as written; what is damaged, newer or changed by hand is told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from headscope.errors import RequestError
from headscope.runs.atomic import write_json_atomic
from headscope.runs.manifest import SCHEMA_VERSION, Manifest, Request, differences, read_manifest
from tests.unit.runs.test_folder import request

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text("aé感\n", max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2),
    max_leaves=5,
)
OPTIONS = st.dictionaries(st.text("abc", min_size=1, max_size=3), JSON, max_size=4)
REQUESTS = st.builds(
    Request,
    verb=st.sampled_from(["run", "screen"]),
    options=OPTIONS,
    model_fingerprint=st.text("0af", max_size=3),
    profile_fingerprint=st.text("0af", max_size=3),
    seed=st.integers(0, 2**64),
    threads=st.none() | st.integers(1, 64),
    batch_plan=OPTIONS,
    text=st.none() | OPTIONS,
)


def written(path: Path, **changes: Any) -> Path:
    asked = request()
    content = Manifest(request=asked, request_digest=asked.digest).model_dump(mode="json")
    return write_json_atomic(path, {**content, **changes})


@settings(max_examples=80, deadline=None)
@given(asked=REQUESTS, facts=OPTIONS, warnings=st.lists(st.text("aé\n", max_size=3), max_size=2))
def test_a_manifest_comes_back_as_written(
    tmp_path_factory: pytest.TempPathFactory, asked: Request, facts: dict[str, Any], warnings: list[str]
) -> None:
    manifest = Manifest(request=asked, request_digest=asked.digest, model=facts, record=facts, warnings=warnings)
    path = write_json_atomic(tmp_path_factory.getbasetemp() / "manifest.json", manifest.model_dump(mode="json"))
    found = read_manifest(path)
    assert found.request == asked
    assert found.request.digest == asked.digest
    assert (
        write_json_atomic(path.with_name("again.json"), found.model_dump(mode="json")).read_bytes() == path.read_bytes()
    )


@given(REQUESTS, REQUESTS)
def test_requests_differ_exactly_where_a_difference_can_be_named(one: Request, other: Request) -> None:
    assert differences(one, one) == []
    if one.digest == other.digest:
        assert differences(one, other) == []
    elif one != other:
        assert differences(one, other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema_version": SCHEMA_VERSION + 1}, "newer headscope"),
        ({"schema_version": 99, "anything": "else"}, "newer headscope"),
        ({"schema_version": 0}, "schema_version"),
        ({"schema_version": "1"}, "schema_version"),
        ({"status": "done"}, "status"),
        ({"surprise": 1}, "surprise"),
        ({"timings": {"screen": "long"}}, "timings.screen"),
        ({"request": {}}, "request.verb"),
        ({"request_digest": "0" * 8}, "does not agree with itself"),
        ({"request_digest": "../../x"}, "request_digest"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError) as raised:
        read_manifest(written(tmp_path / "manifest.json", **changes))
    assert words in str(raised.value)


def test_a_request_changed_by_hand_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path / "manifest.json")
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(RequestError, match="does not agree with itself"):
        read_manifest(path)


OLD = {
    "verb": "screen", "options": {"concepts": ["joy"], "query": "last"}, "model_fingerprint": "m",
    "profile_fingerprint": "p", "seed": 3, "threads": 2, "device": "cpu", "dtype": "float32",
    "batch_plan": {"batch_tokens": 512},
}  # fmt: skip
OLD_DIGEST = "ebb927d2"  # as headscope took it before tokenizer and stop tokens were part of a request


def test_a_run_of_before_tokenizers_counted_still_reads_and_says_what_it_does_not_know(tmp_path: Path) -> None:
    path = write_json_atomic(tmp_path / "manifest.json", {"request": OLD, "request_digest": OLD_DIGEST})
    found = read_manifest(path).request
    assert found.digest == OLD_DIGEST
    assert found.text is None
    now = Request(**OLD, text={"tokenizer": "3f" * 32, "bos": "none"})
    assert now.digest != OLD_DIGEST
    told = differences(found, now)
    assert [line.split(":")[0] for line in told] == ["BOS", "tokenizer"]
    assert all("(not set) there" in line for line in told)


@pytest.mark.parametrize(
    ("field", "name"),
    [("tokenizer", "tokenizer"), ("bos", "BOS"), ("chat_template", "chat template"), ("stop_tokens", "stop tokens")],
)
def test_what_turns_text_into_tokens_makes_another_request_and_is_named(field: str, name: str) -> None:
    text = {"tokenizer": "3f", "bos": "<s> (1)", "chat_template": "a0", "stop_tokens": ["</s> (2)"]}
    one, other = Request(**OLD, text=text), Request(**OLD, text=text | {field: "other"})
    assert one.digest != other.digest
    (told,) = differences(one, other)
    assert told.startswith(f"{name}: ")
    assert told.endswith("there, other here")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b'{"schema_version": NaN}', b"[" * 100_000])
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(RequestError, match="manifest is damaged"):
        read_manifest(path)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_change_of_a_manifest_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = written(tmp_path_factory.getbasetemp() / "changed.json")
    content = json.loads(path.read_text())
    key = data.draw(st.sampled_from(sorted(content)))
    content[key] = data.draw(JSON)
    path.write_text(json.dumps(content))
    try:
        found: object = read_manifest(path)
    except RequestError as error:
        found = error
    assert isinstance(found, Manifest) or str(path) in str(found)

"""Pages that ask at once are each answered as if alone; who leaves is let go, who waits is answered."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headscope.errors import Cancelled
from headscope.explore.answering import KEPT_COUNT
from headscope.explore.guarding import TOKEN_HEADER
from headscope.explore.serving import Explorer
from headscope.explore.work import MOST_JOBS_COUNT
from headscope.models.head_model import HeadModel
from headscope.verbs.inspect import Inspection, Inspector, WrittenToken
from tests.unit.explore.pages import DEADLINE_SECONDS, Page, together

TEXT = "I am thankful for the soup"
SLOW = "This takes long"
EDITS: list[list[dict[str, Any]]] = [
    [],
    [{"heads": "3:*", "kind": "zero"}],
    [{"heads": "3:3,1:2", "kind": "mean"}],
    [{"heads": "1:0", "kind": "bos"}, {"heads": "2:1", "kind": "scale", "factor": 0.5}],
]


def test_pages_that_ask_at_the_same_time_are_each_answered_as_if_alone(served: Explorer) -> None:
    pages = [Page(served.address, f"client-{number}") for number in range(len(EDITS))]
    views = [page.view(f"{TEXT} {number}", edits=EDITS[number]) for number, page in enumerate(pages)]
    texts = [view | {"max_tokens": 8, "seed": number} for number, view in enumerate(views)]
    alone = [page.ask("look", view) for page, view in zip(pages, views, strict=True)]
    written = [page.ask("write", view) for page, view in zip(pages, texts, strict=True)]
    calls = [lambda p=page, v=view: p.ask("look", v) for page, view in zip(pages, views, strict=True)]
    calls += [lambda p=page, v=view: p.ask("write", v) for page, view in zip(pages, texts, strict=True)]
    found = together(*calls)
    assert [one.events for one in found] == [one.events for one in (*alone, *written)]


class Held:
    """A pass over one text that goes on until it is cancelled or let go, as one of a large model does."""

    def __init__(self) -> None:
        self.has_begun, self.let_go, self.was_cancelled = threading.Event(), threading.Event(), threading.Event()

    def hold(self, cancelled: Callable[[], bool]) -> None:
        self.has_begun.set()
        while not self.let_go.wait(0.01):
            if cancelled():
                self.was_cancelled.set()
                raise Cancelled


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    one = Held()
    own = Inspection.likeliest

    def likeliest(self: Inspection, edits: Any = (), n: int = 10, *, cancelled: Any = None) -> Any:
        if self.prompt.text == SLOW:
            one.hold(cancelled)
        return own(self, edits, n, cancelled=cancelled)

    monkeypatch.setattr(Inspection, "likeliest", likeliest)
    yield one
    one.let_go.set()


def test_a_second_look_of_a_page_cancels_its_first_and_is_answered(held: Held, page: Page) -> None:
    lines, close = page.lines("look", page.view(SLOW))
    assert next(lines)["event"] == "tokens"
    assert held.has_begun.wait(DEADLINE_SECONDS)
    assert page.ask("look", page.view(TEXT)).kinds[-1] == "end"
    assert [one["event"] for one in lines] == ["cancelled"]
    assert held.was_cancelled.is_set()
    close()


def test_a_look_of_another_page_cancels_nothing(held: Held, page: Page) -> None:
    lines, close = page.lines("look", page.view(SLOW))
    assert held.has_begun.wait(DEADLINE_SECONDS)
    other, close_other = Page(page.address, "another").lines("look", Page(page.address, "another").view(TEXT))
    held.let_go.set()
    assert [one["event"] for one in lines][-1] == "end"
    assert [one["event"] for one in other][-1] == "end"
    assert not held.was_cancelled.is_set()
    close()
    close_other()


def test_closing_the_connection_cancels(held: Held, page: Page) -> None:
    lines, close = page.lines("look", page.view(SLOW))
    assert next(lines)["event"] == "tokens"
    assert held.has_begun.wait(DEADLINE_SECONDS)
    close()
    assert held.was_cancelled.wait(DEADLINE_SECONDS)
    assert Page(page.address, "another").ask("look", page.view(TEXT)).kinds[-1] == "end"


def test_closing_the_connection_cancels_what_comes_in_one_piece(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Held()
    monkeypatch.setattr(Inspection, "head_map", lambda *_, cancelled, **__: one.hold(cancelled))
    connection = http.client.HTTPConnection(page.host, timeout=DEADLINE_SECONDS)
    view = page.view(TEXT, measure="attention", queries=[1], keys=[0])
    headers = {"Content-Type": "application/json", TOKEN_HEADER: page.token}
    connection.request("POST", "/api/map", json.dumps(view).encode(), headers)
    assert one.has_begun.wait(DEADLINE_SECONDS)
    connection.close()
    assert one.was_cancelled.wait(DEADLINE_SECONDS)
    assert page.ask("look", page.view(TEXT)).kinds[-1] == "end"


def test_lines_come_as_they_are_known(held: Held, page: Page) -> None:
    lines, close = page.lines("look", page.view(SLOW))
    assert next(lines)["event"] == "tokens"  # while what comes next is still being measured
    assert not held.let_go.is_set()
    held.let_go.set()
    assert [one["event"] for one in lines][-1] == "end"
    close()


def test_a_text_is_sent_word_by_word_and_a_look_is_answered_between(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text is not written to its end before the look is answered: it waits for that answer after its first word."""
    first_word, answered = threading.Event(), threading.Event()
    own = Inspection.write

    def write(self: Inspection, *args: Any, **options: Any) -> Iterator[WrittenToken]:
        pieces = own(self, *args, **options)
        yield next(pieces)
        first_word.set()
        while not answered.is_set():
            yield WrittenToken("baseline", None, ".")  # at rest, as between two words
        yield from pieces

    monkeypatch.setattr(Inspection, "write", write)
    lines, close = page.lines("write", page.view(TEXT, max_tokens=3))
    assert [next(lines)["event"] for _ in range(2)] == ["take", "piece"]
    assert first_word.wait(DEADLINE_SECONDS)
    assert page.ask("look", page.view(TEXT)).kinds[-1] == "end"
    answered.set()
    assert [one["event"] for one in lines][-1] == "end"
    close()


def test_prompts_are_kept_so_that_a_click_runs_no_unedited_pass_again(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    own = Inspector.read

    def reading(self: Inspector, text: str | None = None, **options: Any) -> Inspection:
        read.append(text or "")
        return own(self, text, **options)

    monkeypatch.setattr(Inspector, "read", reading)
    texts = [f"Text number {number}" for number in range(KEPT_COUNT + 1)]
    for text in (*texts, texts[-1], texts[1]):
        page.ask("look", page.view(text))
    assert read == texts
    page.ask("look", page.view(texts[0]))  # the one that was asked longest ago is gone
    assert read == [*texts, texts[0]]


def test_too_many_requests_are_told_that_the_model_is_busy(model: HeadModel, tmp_path: Path, held: Held) -> None:
    with Explorer(model, keep=tmp_path / "kept") as explorer:
        explorer.start()
        pages = [Page(explorer.address, f"page-{number}") for number in range(MOST_JOBS_COUNT + 1)]
        waiting = [page.lines("look", page.view(SLOW)) for page in pages[:-1]]
        refused = pages[-1].ask("look", pages[-1].view(TEXT))
        assert (refused.status, refused.json["error"]) == (409, "busy")
        held.let_go.set()
        assert [[one["event"] for one in lines][-1] for lines, _ in waiting] == ["end"] * MOST_JOBS_COUNT
        for _, close in waiting:
            close()

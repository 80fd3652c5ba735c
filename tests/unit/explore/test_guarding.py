"""Nobody asks but a page of this server, on this machine, with the token; every answer has the headers that say so."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from headscope.explore.app import explore_app
from headscope.explore.asked import BODY_LIMIT_BYTES
from headscope.explore.guarding import TOKEN_HEADER, policy
from headscope.explore.work import Worker
from headscope.models.head_model import HeadModel
from tests.unit.explore.pages import Page

ROUTES = ("look", "write", "attention", "map", "keep", "edit_file")


def body(page: Page) -> bytes:
    return json.dumps(page.view()).encode()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1.evil.example:{port}", ""]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_foreign_host_is_refused(method: str, host: str, page: Page) -> None:
    port = page.host.partition(":")[2]
    path = f"/?token={page.token}" if method == "GET" else "/api/look"
    answer = page.request(method, path, None if method == "GET" else body(page), {"Host": host.format(port=port)})
    assert answer.status == 400
    assert b"<" not in answer.body


def test_localhost_is_a_name_of_this_machine(page: Page) -> None:
    port = page.host.partition(":")[2]
    assert page.request("POST", "/api/look", body(page), {"Host": f"localhost:{port}"}).status == 200


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=wrong", "/?token={token}x", "/?token={token}&token=x"])
def test_the_page_needs_the_token(path: str, page: Page) -> None:
    answer = page.request("GET", path.format(token=page.token))
    assert answer.status == 403
    assert b"Open the address that headscope explore printed" in answer.body
    assert page.token.encode() not in answer.body


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("token", [None, "", "wrong", "é"])
def test_every_request_needs_the_token(route: str, token: str | None, page: Page) -> None:
    answer = page.request("POST", f"/api/{route}", body(page), {TOKEN_HEADER: token})
    assert (answer.status, answer.json["error"]) == (403, "the request lacks its token")


@pytest.mark.parametrize("route", ROUTES)
def test_the_token_in_the_address_lets_nothing_be_asked(route: str, page: Page) -> None:
    assert page.request("POST", f"/api/{route}?token={page.token}", body(page), {TOKEN_HEADER: None}).status == 403
    assert page.request("GET", f"/api/{route}?token={page.token}").status == 405


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost", "http://127.0.0.1:1", "x"])
def test_another_page_is_refused_even_with_the_token(origin: str, page: Page) -> None:
    answer = page.request("POST", "/api/look", body(page), {"Origin": origin})
    assert (answer.status, answer.json["error"]) == (403, "the request comes from another page")


def test_the_own_page_says_its_origin_and_is_answered(page: Page) -> None:
    assert page.request("POST", "/api/look", body(page), {"Origin": f"http://{page.host}"}).status == 200


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=application/json"]
)
def test_what_a_form_of_any_site_can_send_is_refused(kind: str | None, page: Page) -> None:
    answer = page.request("POST", "/api/look", body(page), {"Content-Type": kind})
    assert (answer.status, answer.json["expected"]) == (415, "Content-Type: application/json")


def test_no_site_is_given_leave_to_ask(page: Page) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = page.request("OPTIONS", "/api/look", headers=asked)
    assert answer.status == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_body_that_is_too_large_is_refused_whether_it_says_its_size_or_not(page: Page) -> None:
    large = b" " * (BODY_LIMIT_BYTES + 1)
    told = page.request("POST", "/api/look", headers={"Content-Length": str(len(large))})
    untold = page.request("POST", "/api/look", iter([large]))  # in chunks
    assert [told.status, untold.status] == [413, 413]
    assert told.json["expected"] == "at most 1,048,576 bytes"


@pytest.mark.parametrize("path", ["/?token={token}", "/", "/nowhere?token={token}"])
def test_every_answer_says_that_it_is_kept_by_no_one_and_what_it_is(path: str, page: Page) -> None:
    headers = page.request("GET", path.format(token=page.token)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert not {"server", "set-cookie", "access-control-allow-origin"} & set(headers)


def test_the_policy_lets_the_page_ask_its_own_server_and_nobody_else() -> None:
    said = dict(part.split(" ", 1) for part in policy("n", ("http://localhost:*",)).split("; "))
    assert said["default-src"] == "'none'"
    assert said["connect-src"] == "'self'"
    assert said["img-src"] == "data: blob:"
    assert said["script-src"] == said["style-src"] == "'nonce-n'"
    assert said["frame-ancestors"] == "http://localhost:*"
    assert said["base-uri"] == said["form-action"] == "'none'"
    assert "unsafe" not in policy("n", ())
    assert policy("n", ()).endswith("frame-ancestors 'none'")


def test_an_application_elsewhere_is_asked_under_the_names_it_was_given(model: HeadModel, tmp_path: Path) -> None:
    worker = Worker()
    app = explore_app(
        model, token="secret", hosts=("me-view.hf.space",), framed_by=("https://huggingface.co",),
        keep=tmp_path / "kept", worker=worker,
    )  # fmt: skip
    with closing(worker), TestClient(app, "https://me-view.hf.space") as client:
        shown = client.get("/", params={"token": "secret"})
        assert shown.status_code == 200
        assert shown.headers["content-security-policy"].endswith("frame-ancestors https://huggingface.co")
        view = {"client": "a", "prompt": {"text": "Thank you"}, "layer": 0, "head": 0}
        headers = {TOKEN_HEADER: "secret", "Origin": "https://me-view.hf.space"}
        assert client.post("/api/attention", json=view, headers=headers).status_code == 200
        assert client.post("/api/attention", json=view, headers=headers | {"Host": "127.0.0.1"}).status_code == 400


def test_the_nonce_of_the_policy_is_new_each_time(page: Page) -> None:
    found = [
        re.search(r"script-src 'nonce-([\w-]+)'", page.request("GET", f"/?token={page.token}").headers[name])
        for name in ["content-security-policy"] * 2
    ]
    nonces = {match[1] for match in found if match}
    assert len(nonces) == 2
    assert min(map(len, nonces)) >= 16

"""A hub model is found by name and revision, asked for by the client that downloads it, and each refusal has a cure."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest

from headscope.errors import ModelError
from headscope.models import hub as hub_module
from headscope.models.checkpoints import find_checkpoint
from headscope.models.hub import HubName
from headscope.models.loading import load_model
from tests.laws.families import make
from tests.unit.models.fake_hub import COMMIT, FakeHub, files_of, serving

WAYS_OUT = ("--model demo", "folder", "HF_HOME")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which is switched on and at an address where nobody answers."""
    path = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    stands_at("http://127.0.0.1:9", monkeypatch)
    return path


def stands_at(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT sets where it is there before huggingface_hub is imported."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub that holds the tiny Llama."""
    with serving(FakeHub(files_of(folder))) as served:
        stands_at(served.endpoint, monkeypatch)
        yield served


def kept(cache: Path, folder: Path, *, commit: str = COMMIT, names: tuple[str, ...] = ("main",)) -> Path:
    """The folder as a snapshot of ``some/model`` in the cache."""
    repository = cache / "models--some--model"
    snapshot = repository / "snapshots" / commit
    snapshot.parent.mkdir(parents=True, exist_ok=True)
    (repository / "refs").mkdir(exist_ok=True)
    for name in names:
        (repository / "refs" / name).write_text(commit)
    return folder.rename(snapshot)


@pytest.mark.parametrize("asked", ["some/model", "some/model@v1", f"some/model@{COMMIT[:7]}", f"some/model@{COMMIT}"])
def test_a_model_is_downloaded_once_at_the_revision_asked_for(asked: str, hub: FakeHub, cache: Path) -> None:
    found = find_checkpoint(asked)
    assert (found.name, found.source, found.commit, found.path.name) == (asked, "hub", COMMIT, COMMIT)
    assert {path.name for path in found.path.iterdir()} == set(hub.files)
    wanted = asked.partition("@")[2]
    assert any(line.startswith(f"GET /api/models/some/model/revision/{wanted or 'main'}") for line in hub.asked)
    hub.asked.clear()
    assert find_checkpoint(asked) == found
    assert not hub.asked


def test_a_revision_that_is_not_there_is_named(hub: FakeHub) -> None:
    with pytest.raises(ModelError, match='no revision "v9" of model "some/model"'):
        find_checkpoint("some/model@v9")


@pytest.mark.parametrize("asked", ["some/model", "some/model@v1", f"some/model@{COMMIT[:9]}"])
def test_a_cached_model_is_loaded_at_its_revision_without_asking_the_hub(asked: str, folder: Path, cache: Path) -> None:
    kept(cache, folder, names=("main", "v1"))
    model = load_model(asked, device="cpu", unchecked=True)
    assert (model.name, model.source, model.commit) == (asked, "hub", COMMIT)
    assert model.describe()["commit"] == COMMIT


def test_a_snapshot_whose_download_was_stopped_is_not_taken(cache: Path, tmp_path: Path) -> None:
    sharded = tmp_path / "sharded"
    make("llama").save_pretrained(sharded, max_shard_size="20KB")
    snapshot = kept(cache, sharded)
    assert find_checkpoint("some/model").path == snapshot
    sorted(snapshot.glob("*.safetensors"))[1].unlink()
    with pytest.raises(ModelError, match="nor in the local cache"):
        find_checkpoint("some/model")


def test_a_hub_that_cannot_be_reached_gives_one_sentence_and_three_ways_out(cache: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_model("gpt2")
    assert 'model "gpt2" is neither bundled, nor a folder, nor in the local cache, and the hub cannot' in str(
        caught.value
    )
    assert all(way in str(caught.value) for way in WAYS_OUT)


def test_a_hub_that_does_not_answer_is_not_waited_for(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.silent = threading.Event()
    monkeypatch.setattr(hub_module, "_SECONDS", 0.2)
    with pytest.raises(ModelError, match=r"does not answer|cannot be reached"):
        find_checkpoint("some/model")


def test_a_hub_switched_off_is_not_asked(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE"):
        find_checkpoint("some/model")
    assert not hub.asked


def test_the_client_that_downloads_is_the_one_that_asks(
    hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another client has other certificates and proxies: here urllib's way is shut, and the hub's client's open."""
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("another door"))
    assert find_checkpoint("some/model").commit == COMMIT


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ((404, "RepoNotFound"), ('no model "some/model" for you', "hf auth login")),
        ((401, "RepoNotFound"), ('no model "some/model" for you', "hf auth login")),
        ((403, "GatedRepo"), ("is gated", "ask for access", "hf auth login")),
        ((503, ""), ('does not give model "some/model"', "503")),
    ],
    ids=str,
)
def test_what_the_hub_refuses_is_told_with_its_cure(
    status: tuple[int, str], words: tuple[str, ...], hub: FakeHub
) -> None:
    hub.status = status
    with pytest.raises(ModelError) as caught:
        find_checkpoint("some/model")
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_certificate_that_is_not_trusted_names_the_setting(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def distrusted(*_: object, **__: object) -> None:
        raise hub_module.HTTPError("[SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer certificate")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", distrusted)
    with pytest.raises(ModelError, match="SSL_CERT_FILE"):
        find_checkpoint("some/model")


def test_a_tokenizer_of_the_hub_needs_no_weights(hub: FakeHub, folder: Path) -> None:
    model = load_model(folder, tokenizer="some/model@v1", device="cpu", unchecked=True)
    assert model.describe()["tokenizer"] == "some/model@v1"
    assert not any("resolve" in line and "safetensors" in line for line in hub.asked)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("gpt2", HubName("gpt2")),
        ("gpt2@607a30d", HubName("gpt2", "607a30d")),
        ("org/name@refs/pr/3", HubName("org/name", "refs/pr/3")),
        ("org/name@", None),
        ("@main", None),
        ("org/name/more", None),
        ("org/na me", None),
        ("gpt2@../x y", None),
    ],
)
def test_a_name_and_its_revision_are_told_apart(text: str, parsed: HubName | None) -> None:
    assert HubName.parse(text) == parsed


def test_an_index_that_is_no_index_lists_no_shards(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    for text in ("{", "[]", "{}", '{"weight_map": 3}'):
        index.write_text(text)
        assert hub_module.shards_of(index) == ()
    index.write_text(json.dumps({"weight_map": {"a": "2", "b": "1", "c": "2"}}))
    assert hub_module.shards_of(index) == ["1", "2"]

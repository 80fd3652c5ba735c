"""From a name on the Hugging Face hub, with or without ``@revision``, to a folder in the local cache.

The cache is looked at first, and a snapshot counts only where all its weight files are there. Where it is not cached,
the client that would download asks the hub for the model, once and briefly: a look through another door (another
certificate store, no proxy) may find shut what is open, and left alone the client retries for half a minute before it
says that there is no network.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage] - of the client that this version has, httpx or httpx2
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from headscope.errors import ModelError

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
ADAPTER_FILES = ("adapter_model.safetensors", "adapter_model.bin")
ADAPTER_CONFIG = "adapter_config.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")
WAYS_OUT = (
    "use the bundled model (--model demo), or give a checkpoint folder, or set HF_HOME to a cache that holds the model"
)
_ID = re.compile(r"^[\w-][\w.-]*(/[\w.-]+)?$")
_REVISION = re.compile(r"^[\w.-]+(/[\w.-]+)*$")
_COMMIT_PREFIX = re.compile(r"^[0-9a-f]{7,39}$")
_SECONDS = 4.0


@dataclass(frozen=True)
class HubName:
    """A model on the hub: ``owner/name`` or a bare name; branch, tag or commit, None for the main branch."""

    id: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> HubName | None:
        """``name`` or ``name@revision``; None where the text is no such name."""
        name, at, revision = text.partition("@")
        if not _ID.match(name) or name.startswith("..") or (at and not _REVISION.match(revision)):
            return None
        return cls(name, revision or None)

    def __str__(self) -> str:
        return self.id if self.revision is None else f"{self.id}@{self.revision}"


def hub_folder(name: HubName, *, tokenizer_only: bool = False) -> Path:
    """The snapshot of a hub model, downloaded if it must be and can be; its name is the commit.

    Raises:
        ModelError: it is not cached, and the hub cannot be reached or has no such model for you.
    """
    cached = _cached(name, tokenizer_only)
    return cached if cached is not None else _download(name, tokenizer_only)


def is_cached(name: HubName) -> bool:
    """Whether the local cache holds the model."""
    return _cached(name, tokenizer_only=False) is not None


def _cached(name: HubName, tokenizer_only: bool) -> Path | None:
    repository = Path(huggingface_hub.constants.HF_HUB_CACHE) / f"models--{name.id.replace('/', '--')}"
    revision = name.revision or "main"
    reference = repository / "refs" / revision
    if reference.is_file():
        revision = reference.read_text(encoding="utf-8").strip()
    snapshot = repository / "snapshots" / revision
    if _COMMIT_PREFIX.match(revision) and not snapshot.is_dir():
        snapshots = list(snapshot.parent.glob(f"{revision}*"))
        snapshot = snapshots[0] if len(snapshots) == 1 else snapshot
    if tokenizer_only:
        return snapshot if any((snapshot / file).is_file() for file in TOKENIZER_FILES) else None
    return snapshot if _is_whole(snapshot) else None


def _is_whole(snapshot: Path) -> bool:
    """Whether a snapshot has a configuration and every weight file; a download that was stopped may lack some."""
    if (snapshot / "config.json").is_file():
        return all(
            all((snapshot / part).is_file() for part in shards_of(snapshot / file)) for file in WEIGHT_FILES
        ) and (any((snapshot / file).is_file() for file in WEIGHT_FILES))
    adapter = (snapshot / ADAPTER_CONFIG).is_file()
    return adapter and any((snapshot / file).is_file() for file in ADAPTER_FILES)


def shards_of(index: Path) -> Sequence[str]:
    """Names of the weight files an index lists; empty where it is no index, is not there, or is broken."""
    if not index.name.endswith(".index.json") or not index.is_file():
        return ()
    try:
        names: Any = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ()
    return sorted({name for name in names if isinstance(name, str)})


def _download(name: HubName, tokenizer_only: bool) -> Path:
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise _not_here(name, "the hub is switched off (HF_HUB_OFFLINE)")
    files = _ask(name)
    patterns = ["*.json", "*.model", "*.txt", "*.jinja", "*.py", "*.tiktoken"]
    if not tokenizer_only:
        patterns.append("*.safetensors" if any(file.endswith(".safetensors") for file in files) else "*.bin")
    try:
        return Path(
            huggingface_hub.snapshot_download(
                name.id, revision=name.revision, allow_patterns=patterns, ignore_patterns=["*/*"]
            )
        )
    except (HTTPError, OSError, ValueError) as error:
        raise _refused(name, error) from error


def _ask(name: HubName) -> list[str]:
    """The files of the model. In a thread, because a name look-up has no time limit."""
    answer: list[list[str] | Exception] = []

    def ask() -> None:
        try:
            told = huggingface_hub.HfApi().model_info(name.id, revision=name.revision, timeout=_SECONDS)
            answer.append([file.rfilename for file in told.siblings or ()])
        except (HTTPError, OSError, ValueError) as error:
            answer.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    if not answer:
        raise _not_here(name, f"the hub does not answer within {_SECONDS:.0f} s")
    if isinstance(answer[0], Exception):
        raise _refused(name, answer[0]) from answer[0]
    return answer[0]


def _not_here(name: HubName, reason: str, fix: str = WAYS_OUT) -> ModelError:
    return ModelError(f'model "{name}" is neither bundled, nor a folder, nor in the local cache, and {reason}', fix=fix)


def _refused(name: HubName, error: Exception) -> ModelError:
    """What the hub, or the way to it, says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    got = f"{type(error).__name__}: {lines[0][:200]}"
    if isinstance(error, OfflineModeIsEnabled):
        return _not_here(name, "the hub is switched off (HF_HUB_OFFLINE)")
    if isinstance(error, GatedRepoError):
        fix = "ask for access on its page on the hub, then log in: hf auth login"
        return ModelError(f'model "{name}" is gated, and you have no access', got=got, fix=fix)
    if isinstance(error, RevisionNotFoundError):
        return ModelError(
            f'the hub has no revision "{name.revision}" of model "{name.id}"',
            expected="a branch, tag or commit",
            got=got,
        )
    if isinstance(error, RepositoryNotFoundError):
        return ModelError(
            f'the hub has no model "{name}" for you', got=got, fix=f"if it is private: hf auth login; else {WAYS_OUT}"
        )
    if isinstance(error, HTTPError) and not isinstance(error, HfHubHTTPError):
        trusted = "CERTIFICATE" in str(error).upper()
        fix = f"set SSL_CERT_FILE to the certificates of your network; or {WAYS_OUT}" if trusted else WAYS_OUT
        return _not_here(name, f"the hub cannot be reached ({lines[0][:200]})", fix)
    return ModelError(f'the hub does not give model "{name}"', got=got, fix=f"try again later; or {WAYS_OUT}")

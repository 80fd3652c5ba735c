"""``manifest.json``: what was asked, of what, with what, and how it went.

The request holds everything the result's bytes depend on; its digest names the run. Two requests are the same when
their canonical JSON is. Names and places (of the model, the profile, the folder) are not part of it: weights, tokenizer
and prompts count by their fingerprints. What a request of an older headscope did not hold is not part of its digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError, field_validator

from headscope.errors import RequestError
from headscope.profiles.explaining import first_misfit
from headscope.profiles.files import json_of, read_limited
from headscope.runs.atomic import canonical_json, plain

SCHEMA_VERSION = 1
MANIFEST_LIMIT_BYTES = 64 * 2**20

Status = Literal["running", "finished", "failed", "stopped"]
_ABSENT = "(not set)"
_NAMES = {
    "text.tokenizer": "tokenizer",
    "text.bos": "BOS",
    "text.chat_template": "chat template",
    "text.thinking": "thinking",
    "text.stop_tokens": "stop tokens",
}


class Request(BaseModel):
    """Everything the bytes of a result depend on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    verb: str = Field(description="run, screen, ablate, …")
    options: dict[str, JsonValue] = Field(description="every option of the verb, defaults filled in; no output paths")
    model_fingerprint: str = Field(description="SHA-256 of weights and configuration")
    profile_fingerprint: str = Field(description="SHA-256 of the profile's content")
    seed: int
    threads: int | None = Field(default=None, description="threads of a matrix product; its bits depend on them")
    device: str = Field(default="cpu", description="kind of device")
    dtype: str = Field(default="float32", description="dtype of the model's weights")
    batch_plan: dict[str, JsonValue] = Field(default_factory=dict, description="how the work is cut into batches")
    text: dict[str, JsonValue] | None = Field(
        default=None,
        description="what turns text into tokens and ends it: the tokenizer and the rendered chat template by their "
        "SHA-256, the BOS, the tokens that end a written text; null in runs of headscope before these counted",
    )

    @field_validator("options", "batch_plan", "text", mode="before")
    @classmethod
    def _as_json_holds_it(cls, value: Any) -> Any:
        # A request read back from a folder must equal the one that was made: no tuples, no numpy numbers.
        return plain(value)

    def content(self) -> dict[str, Any]:
        """What the digest is taken of: every field, without those of which an older headscope did not know."""
        return self.model_dump(exclude={"text"} if self.text is None else None)

    @property
    def digest(self) -> str:
        """First 8 hexadecimal digits of the SHA-256 of the request; in the name of its default folder."""
        return hashlib.sha256(canonical_json(self.content()).encode("utf-8")).hexdigest()[:8]


class StageState(BaseModel):
    """How far one stage of a whole run is."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="assay, screen, … (terms.STAGES)")
    status: Literal["done", "running", "to come", "left out", "not reached"] = "to come"
    seconds: float | None = Field(default=None, description="that it took")
    expected_seconds: float | None = Field(default=None, description="that it was expected to take")
    why: str = Field(default="", description="why it was left out or not reached")


class Manifest(BaseModel):
    """The record of a run. Times in seconds, or as ISO 8601 in UTC."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    schema_version: Literal[1] = SCHEMA_VERSION
    status: Status = "running"
    error: str | None = Field(default=None, description="why it failed")
    request: Request
    request_digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}$")]
    request_sources: dict[str, str] = Field(
        default_factory=dict, description='where each option came from: "command line", "default", …'
    )
    command: list[str] = Field(default_factory=list[str], description="the command line, if there was one")
    model: dict[str, JsonValue] = Field(default_factory=dict, description="name, family, heads, load check, …")
    profile: dict[str, JsonValue] = Field(default_factory=dict, description="name, source, prompts per class, …")
    versions: dict[str, str] = Field(default_factory=dict, description="package -> version")
    git: dict[str, JsonValue] | None = Field(default=None, description="commit and whether files were changed")
    machine: dict[str, JsonValue] = Field(default_factory=dict, description="platform, device, threads")
    record: dict[str, JsonValue] = Field(default_factory=dict, description="what the verbs tell about their work")
    timings: dict[str, float] = Field(default_factory=dict, description="seconds by stage")
    stages: list[StageState] = Field(default_factory=list[StageState], description="of a whole run, in order")
    warnings: list[str] = Field(default_factory=list[str])
    created: str = ""
    ended: str | None = None


def differences(there: Request, here: Request) -> list[str]:
    """What differs between the request of a folder and a new one, e.g. ``seed: 0 there, 1 here``."""
    old, new = (dict(_flat(cast("dict[str, Any]", plain(each.content())))) for each in (there, here))
    return [
        f"{_NAMES.get(key, key.removeprefix('options.'))}: "
        f"{_short(old.get(key, _ABSENT))} there, {_short(new.get(key, _ABSENT))} here"
        for key in sorted({*old, *new})
        if old.get(key, _ABSENT) != new.get(key, _ABSENT)
    ]


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file.

    Raises:
        RequestError: missing, damaged, of a newer headscope, or its request was changed by hand.
    """
    data = _read_json(path)
    version = cast("dict[str, Any]", data).get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RequestError(
            "run was written by a newer headscope",
            expected=f"manifest of schema {SCHEMA_VERSION} or older",
            got=f"schema {version}",
            where=str(path),
            fix="update headscope",
        )
    try:
        manifest = Manifest.model_validate(data)
    except ValidationError as error:
        misfit = first_misfit(error, data)
        expected = f"{misfit.name}: {misfit.expected}"
        raise RequestError("manifest is damaged", expected=expected, got=misfit.got, where=str(path)) from error
    if manifest.request_digest != manifest.request.digest:
        raise RequestError(
            "manifest does not agree with itself: its request is not the one its digest was taken of",
            expected=manifest.request_digest,
            got=manifest.request.digest,
            where=str(path),
            fix="restore the manifest, or run again into another folder",
        )
    return manifest


def _read_json(path: Path) -> object:
    try:
        return json_of(read_limited(path, MANIFEST_LIMIT_BYTES, "manifest"))
    except FileNotFoundError as error:
        raise RequestError(
            "not a run folder", expected="a folder with manifest.json", where=str(path.parent)
        ) from error
    except OSError as error:
        raise RequestError("manifest cannot be read", got=error.strerror, where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise RequestError("manifest is damaged", got=str(error), where=str(path)) from error


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from _flat(cast("dict[str, Any]", value), f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:39] + "…"

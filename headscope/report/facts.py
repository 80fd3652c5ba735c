"""What the manifest says, in the form the report needs. Every fact may be missing: older or damaged runs lack some."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import pandas as pd

from headscope.report.numbers import as_float
from headscope.terms import ANSWERS


@dataclass(frozen=True)
class Stage:
    """One stage of a run as its manifest tells it: seconds measured and expected, NaN where there are none."""

    name: str
    status: str
    seconds: float
    expected_seconds: float
    why: str

    @property
    def done(self) -> bool:
        """Whether the folder holds all of it."""
        return self.status == "done"

    @property
    def open(self) -> bool:
        """Whether it may still be measured, or would have been with more time."""
        return self.status in ("running", "to come", "not reached")


@dataclass(frozen=True)
class RunFacts:
    """The manifest's facts. Empty text, mapping or tuple where the manifest has none.

    ``verb``: what made the run, ``run`` or a single verb.
    ``stages`` in their order. ``n_not_measured``: heads whose effect under the deciding edit is shown to be too small
    to matter, of which nothing else was measured.
    """

    model: str
    n_layers: int
    heads_per_layer: tuple[int, ...]
    profile: str
    profile_source: str
    protocol: str
    seed: str
    command: str
    digest: str
    status: str
    options: Mapping[str, Any]
    sampling: Mapping[str, Any]
    readouts: tuple[str, ...]
    versions: Mapping[str, str]
    fingerprints: Mapping[str, str]
    warnings: tuple[str, ...]
    figures: tuple[str, ...]
    artifacts: tuple[str, ...]
    stages: tuple[Stage, ...]
    n_not_measured: int
    asks_answers: bool = False
    verb: str = ""

    def awaits(self, stage: str) -> bool:
        """Whether a stage of the run is still open; what it would leave is then no gap in the run."""
        return any(one.open for one in self.stages if one.name == stage)

    @property
    def n_heads(self) -> int:
        """Heads of the whole model."""
        return sum(self.heads_per_layer)

    @property
    def shape(self) -> tuple[int, int]:
        """Layers, and heads of the widest layer."""
        return self.n_layers, max(self.heads_per_layer, default=0)

    @property
    def unfinished(self) -> bool:
        """Whether the run says of itself that it is not finished."""
        return self.status not in ("finished", "")

    @property
    def bundled(self) -> bool:
        """Whether the profile is the bundled ``baseline``, whose prompts are not those of the Phase 6 study."""
        return self.profile == "baseline" and self.profile_source in ("bundled", "")


def facts_of(facts: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> RunFacts:
    """Read a manifest (as a mapping, with ``figures`` and ``artifacts`` added); shapes fall back to the tables."""
    model, profile, request = (_mapping(facts.get(key)) for key in ("model", "profile", "request"))
    options = {str(key): value for key, value in _mapping(request.get("options")).items()}
    records = [_mapping(value) for value in _mapping(facts.get("record")).values()]
    records.append(_mapping(facts.get("record")))
    heads = tuple(n for n in _listed(model.get("heads_per_layer")) if isinstance(n, int)) or _shape_from(tables)
    return RunFacts(
        model=_shown_name(str(model.get("name") or "")),
        n_layers=len(heads),
        heads_per_layer=heads,
        profile=str(profile.get("name") or ""),
        profile_source=str(profile.get("source") or ""),
        protocol=str(options.get("protocol") or _from_coverage(tables) or ""),
        seed=str(request.get("seed", facts.get("seed", ""))),
        command=_command(facts.get("command")),
        digest=str(facts.get("request_digest") or ""),
        status=str(facts.get("status") or ""),
        options=options,
        sampling=_sampling(options, records),
        readouts=tuple(map(str, _listed(_first(records, "readouts") or profile.get("readouts")))),
        versions={str(name): str(version) for name, version in _mapping(facts.get("versions")).items()},
        fingerprints={
            name: str(request[key])
            for name, key in (("model", "model_fingerprint"), ("profile", "profile_fingerprint"))
            if request.get(key)
        },
        warnings=tuple(map(str, facts.get("warnings") or ())),
        figures=tuple(map(str, facts.get("figures") or ())),
        artifacts=tuple(map(str, facts.get("artifacts") or ())),
        stages=tuple(_stage(one) for one in _listed(facts.get("stages")) if isinstance(one, Mapping)),
        asks_answers=_asks_answers(tables),
        verb=str(request.get("verb") or ""),
        n_not_measured=_count(_mapping(_mapping(facts.get("record")).get("sweep")).get("not_measured")),
    )


def _asks_answers(tables: Mapping[str, pd.DataFrame]) -> bool:
    """Whether the run is on tasks: its primary outcome is that of answers."""
    return any(ANSWERS in set(tables[name]["outcome"]) for name in ("assay", "effects") if name in tables)


def _shown_name(name: str) -> str:
    """A model's name as readers know it: of a folder or a file on this machine its last part, a hub's whole."""
    is_local = PurePath(name).is_absolute() or name.startswith(".") or name.endswith(".gguf")
    return PurePath(name).name if is_local else name


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _stage(told: Mapping[str, Any]) -> Stage:
    return Stage(
        name=str(told.get("name") or ""),
        status=str(told.get("status") or ""),
        seconds=as_float(told.get("seconds")),
        expected_seconds=as_float(told.get("expected_seconds")),
        why=str(told.get("why") or ""),
    )


_SAMPLING = ("max_tokens", "temperature", "top_p", "samples", "greedy", "stop_at_eos", "keyword_counting", "scope")


def _sampling(options: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = {key: options[key] for key in _SAMPLING if key in options}
    for record in records:
        inner = {**_mapping(record.get("sampling")), **record}
        found = {**{key: inner[key] for key in _SAMPLING if key in inner}, **found}
    scorer = _first(records, "sentiment") or options.get("sentiment")
    if scorer is not None:
        name = _mapping(scorer).get("name", scorer) if isinstance(scorer, Mapping) else scorer
        version = _mapping(scorer).get("version", "")
        found["sentiment"] = f"{name} {version}".strip()
    return found


def _command(command: Any) -> str:
    """The command line to paste, with the program's name in place of where it was installed."""
    if not command:
        return ""
    if isinstance(command, str):
        return command
    words = [str(word) for word in command]
    return shlex.join([PurePath(words[0]).name, *words[1:]])


def _shape_from(tables: Mapping[str, pd.DataFrame]) -> tuple[int, ...]:
    for name in ("screen", "effects"):
        table = tables.get(name)
        if table is not None and {"layer", "head"} <= set(table.columns):
            heads = table[["layer", "head"]].dropna().astype(int)
            if len(heads):
                sizes = heads.groupby("layer")["head"].max() + 1
                return tuple(int(sizes.get(layer, 0)) for layer in range(int(heads["layer"].max()) + 1))
    return ()


def _from_coverage(tables: Mapping[str, pd.DataFrame]) -> str:
    coverage = tables.get("coverage")
    if coverage is None or not len(coverage) or "protocol" not in coverage.columns:
        return ""
    return ", ".join(dict.fromkeys(map(str, coverage["protocol"])))


def _first(records: Sequence[Mapping[str, Any]], key: str) -> Any:
    return next((record[key] for record in records if record.get(key)), None)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()

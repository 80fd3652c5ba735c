"""From options to a model, a profile and a record of where each option came from. Cheap checks come first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from headscope.cli.inputs import prompt_files, read_profile
from headscope.errors import RequestError

if TYPE_CHECKING:
    from headscope.engines.engine import Runner
    from headscope.engines.parts import Part
    from headscope.models.head_model import HeadModel
    from headscope.profiles.types import Profile

_SOURCES = {"COMMANDLINE": "command line", "ENVIRONMENT": "environment", "DEFAULT": "default", "DEFAULT_MAP": "default"}


def ask_profile(
    name: str, *, data_dir: Path | None, prompts: Iterable[str] | None, concepts: Sequence[str] | None
) -> Profile:
    """The profile of the options, its concepts known to be there; see ``inputs.read_profile``.

    Raises:
        ProfileError: no such profile, or its files are malformed.
        RequestError: it has no such concept.
    """
    profile = read_profile(name, data_dir, prompt_files(prompts or ()))
    for concept in concepts or ():
        one_of("concept", concept, tuple(profile.concepts))
    return profile


def ask_model(
    name: str,
    *,
    device: str,
    dtype: str,
    device_map: str | None = None,
    bos: str = "auto",
    unchecked: bool,
    trust_remote_code: bool = False,
    memory_budget: str | None = None,
) -> HeadModel:
    """The model of the options; see ``load_model``."""
    from headscope.models.loading import load_model

    return load_model(
        name, device=device, dtype=dtype, device_map=device_map, bos=bos, unchecked=unchecked,
        trust_remote_code=trust_remote_code, memory_budget=memory_budget,
    )  # fmt: skip


def one_of(what: str, value: str, known: Sequence[str]) -> str:
    """``value``, if it is one of ``known``; RequestError otherwise."""
    if value not in known:
        raise RequestError(f'{what} "{value}" does not exist', expected=", ".join(known), got=value)
    return value


def ask_edits(edits: Sequence[str] | None) -> tuple[str, ...]:
    """The kinds of edit asked for, each once; mean and zero where none was named.

    Raises:
        RequestError: one does not exist, or stands twice.
    """
    from headscope.measure.edits import EDIT_KINDS

    kinds = tuple(edits or ("mean", "zero"))
    for kind in kinds:
        one_of("edit", kind, EDIT_KINDS)
    if len(set(kinds)) < len(kinds):
        raise RequestError("an edit is asked for twice", expected="each edit once", got=", ".join(kinds))
    return kinds


def ask_part(shard: str | None, out: Path | None) -> tuple[Path | None, Part | None]:
    """The folder and the part of ``--shard``: the folder of a part has the part's number in its name.

    Raises:
        RequestError: the part is malformed, or no folder was named that the parts have in common.
    """
    if shard is None:
        return out, None
    from headscope.engines.parts import Part
    from headscope.runs.gathering import part_folder

    if out is None:
        raise RequestError("--shard needs --out, the same for all parts", fix="add --out DIR")
    part = Part.parse(shard)
    return part_folder(out, part.number, part.of), part


def ask_runner(engine: str, address: str | None) -> Callable[[HeadModel, Mapping[str, Any]], Runner]:
    """Who runs the passes: a function of the model and of how it was loaded (keywords of ``load_model``).

    Raises:
        RequestError: no such engine, an address without Ray, or Ray is not installed.
    """
    one_of("engine", engine, ("local", "ray"))
    if engine == "local":
        if address is not None:
            raise RequestError("--address is of a Ray cluster", fix="add --engine ray, or leave it out")
        from headscope.engines.engine import in_process

        return lambda _model, _options: in_process
    from headscope.engines.ray import require_ray, runner_of

    require_ray()
    _use_one_thread()
    return lambda model, options: runner_of(model, options, address)


def _use_one_thread() -> None:
    """Ray gives a worker one CPU; the request says how many threads, so the driver counts with as many."""
    if "OMP_NUM_THREADS" not in os.environ:
        import torch

        torch.set_num_threads(1)


def provenance(context: typer.Context) -> dict[str, Any]:
    """``sources`` (where each option came from) and ``command``, as the verbs keep them in a manifest."""
    sources: dict[str, str] = {}
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None:
            sources[name] = _SOURCES.get(source.name, source.name.lower())
    words: list[str] = context.find_root().obj or []
    return {"sources": sources, "command": words}


def heads_exist(spec: str, model: HeadModel) -> str:
    """``spec``, if every head of it is in ``model``; RequestError otherwise."""
    model.head_set(spec)
    return spec


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were set."""
    return {name: value for name, value in options.items() if value is not None}

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
    from headscope.runs.folder import Run
    from headscope.stats.evidence import Criteria

_SOURCES = {"COMMANDLINE": "command line", "ENVIRONMENT": "environment", "DEFAULT": "default", "DEFAULT_MAP": "default"}

TEXT_OPTIONS = (
    "max_tokens", "temperature", "top_p", "samples", "greedy", "stop_at_eos", "stop_token", "sentiment",
    "keyword_counting",
)  # fmt: skip
"""Parameters that only written text uses."""


def ask_profile(
    name: str,
    *,
    data_dir: Path | None,
    prompts: Iterable[str] | None,
    concepts: Sequence[str] | None,
    text_column: str | None = None,
    label_column: str | None = None,
    drop_duplicates: bool = False,
) -> Profile:
    """The profile of the options, its concepts known to be there; see ``inputs.read_profile``.

    Raises:
        ProfileError: no such profile, or its files are malformed.
        RequestError: it has no such concept.
    """
    from headscope.profiles.columns import Reading

    reading = Reading(text_column, label_column, drop_duplicates)
    profile = read_profile(name, data_dir, prompt_files(prompts or ()), reading)
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
    tokenizer: str | None = None,
    trust_remote_code: bool = False,
    memory_budget: str | None = None,
) -> HeadModel:
    """The model of the options; see ``load_model``."""
    from headscope.models.loading import load_model

    return load_model(
        name, device=device, dtype=dtype, device_map=device_map, bos=bos, unchecked=unchecked,
        tokenizer=tokenizer, trust_remote_code=trust_remote_code, memory_budget=memory_budget,
    )  # fmt: skip


def one_of(what: str, value: str, known: Sequence[str]) -> str:
    """``value``, if it is one of ``known``; RequestError otherwise."""
    if value not in known:
        raise RequestError(f'{what} "{value}" does not exist', expected=", ".join(known), got=value)
    return value


def ask_template(chat_template: bool, name: str | None) -> bool | str:
    """The chat template asked for: one of several by its name, the only or default one, or none."""
    return chat_template if name is None else name


def refuse_unused(context: typer.Context, names: Iterable[str], because: str) -> None:
    """Refuse options that were given and would be recorded without being used.

    Args:
        context: of the command.
        names: of the parameters that have no use in this request.
        because: ends the sentence "--share is not used ...".

    Raises:
        RequestError: one of them was given.
    """
    shown = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    given = [name for name in names if _source(context, name) in ("command line", "environment")]
    if given:
        listed = ", ".join(shown[name] for name in given)
        raise RequestError(f"{listed} {'is' if len(given) == 1 else 'are'} not used {because}", fix="leave it out")


def refuse_unused_sampling(context: typer.Context, *, greedy: bool) -> None:
    """Refuse what only sampling uses, where the likeliest token is taken."""
    if greedy:
        refuse_unused(context, ("temperature", "top_p"), "with --greedy, which takes the likeliest token")


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


def ask_criteria(minimum_effect: float | None, minimum_attention: float | None, run: Run | None = None) -> Criteria:
    """What decides a verdict: as asked, else as in ``run``, else the defaults."""
    from headscope.stats.evidence import Criteria

    kept: Any = {} if run is None else run.manifest.request.options.get("criteria", {})
    before = kept if isinstance(kept, Mapping) else {"criteria": kept}  # which the next line refuses
    asked = given({"minimum_nats": minimum_effect, "minimum_attention_share": minimum_attention})
    return Criteria.of({**before, **asked})


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
    found = {name: _source(context, name) for name in context.params}
    sources = {name: source for name, source in found.items() if source is not None}
    words: list[str] = context.find_root().obj or []
    return {"sources": sources, "command": words}


def _source(context: typer.Context, name: str) -> str | None:
    source = context.get_parameter_source(name)
    return None if source is None else _SOURCES.get(source.name, source.name.lower())


def heads_exist(spec: str, model: HeadModel) -> str:
    """``spec``, if every head of it is in ``model``; RequestError otherwise."""
    model.head_set(spec)
    return spec


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were set."""
    return {name: value for name, value in options.items() if value is not None}

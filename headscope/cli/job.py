"""What the commands that measure share: cheap checks, the profile, then the model, the run folder, what is printed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from headscope.cli import console, results
from headscope.cli.commands import Called
from headscope.cli.inputs import check_outputs, prompt_files, read_profile
from headscope.errors import RequestError, one_of
from headscope.settings.command_line import Asked, Columns, Printed, Workers
from headscope.settings.groups import Keeping, Loading, StudySettings
from headscope.settings.measuring import Judging
from headscope.settings.option import request_options

if TYPE_CHECKING:
    import pandas as pd

    from headscope.engines.engine import Part, Runner
    from headscope.measure.outcomes import Outcome
    from headscope.models.head_model import HeadModel
    from headscope.profiles.columns import Reading
    from headscope.profiles.types import Profile
    from headscope.runs.folder import Run
    from headscope.stats.evidence import Criteria
    from headscope.study import Study
    from headscope.verbs.result import Result

_SOURCES = {"COMMANDLINE": "command line", "ENVIRONMENT": "environment", "DEFAULT": "default", "DEFAULT_MAP": "default"}

PROMPTS = "profile data_dir prompts text_column label_column drop_duplicates"
TEMPLATE = "chat_template chat_template_name thinking seed"
LOADING = "batch_tokens memory_budget device device_map dtype bos unchecked tokenizer trust_remote_code"
WORKERS = "engine workers address resume"
SAMPLING = "max_tokens temperature top_p samples greedy stop_token"
TEXT = (*SAMPLING.split(), "stop_at_eos", "sentiment", "keyword_counting")
"""Parameters that only written text uses."""


@dataclass(frozen=True)
class Job:
    """One command that measures: everything asked of it beside its verb's own options."""

    called: Called
    asked: Asked
    settings: StudySettings
    loading: Loading
    workers: Workers
    keeping: Keeping
    printed: Printed

    # --- before the model is loaded ----------------------------------------------------------------------------------

    def check_outputs(self, *endings: str) -> None:
        """Prove that what is to be written can be; ``endings`` of the file beside the run."""
        check_outputs(self._place[0], self.printed.output, *endings)

    def refuse(self, names: Iterable[str], because: str) -> None:
        """Refuse options that were given and have no use in this request; see ``refuse_unused``."""
        refuse_unused(self.called.context, names, because)

    def profile(self, *more_prompts: str, concepts: Sequence[str] | str | None = None) -> Profile:
        """The profile of the options, its concepts known to be there; see ``inputs.read_profile``.

        ``more_prompts`` are further ``CLASS=FILE``; ``concepts`` by default those of the study.

        Raises:
            ProfileError: no such profile, or its files are malformed.
            RequestError: it has no such concept.
        """
        asked = self.asked
        files = prompt_files([*(asked.prompts or ()), *more_prompts])
        profile = read_profile(asked.profile, asked.data_dir, files, reading_of(asked))
        for concept in concepts or self.settings.concepts or ():
            one_of("concept", concept, tuple(profile.concepts))
        return profile

    @cached_property
    def own_outcomes(self) -> list[Outcome]:
        """What ``--outcome`` asks for, found or made.

        Raises:
            RequestError: one is not known, or cannot be made.
        """
        if not self.settings.outcomes:
            return []  # without torch
        from headscope.measure.outcomes import chosen_outcomes

        return chosen_outcomes(self.settings.outcomes)

    def refuse_outcomes_of_text(self, because: str) -> None:
        """Refuse outcomes of text where no text is written; ``because`` ends the sentence "... is not measured ..."."""
        if of_text := [one.name for one in self.own_outcomes if one.read_at == "text"]:
            raise RequestError(f"--outcome {of_text[0]} is of text and is not measured {because}", fix="leave it out")

    @property
    def template(self) -> bool | str:
        """The chat template asked for: one of several by its name, the only or default one, or none."""
        name = self.asked.chat_template_name
        return self.settings.chat_template if name is None else name

    @cached_property
    def _place(self) -> tuple[Path | None, Part | None]:
        """The folder and the part of ``--shard``: the folder of a part has the part's number in its name."""
        out, shard = None if self.keeping.out is None else Path(self.keeping.out), self.workers.shard
        if shard is None:
            return out, None
        from headscope.engines.engine import Part
        from headscope.runs.gathering import part_folder

        if out is None:
            raise RequestError("--shard needs --out, the same for all parts", fix="add --out DIR")
        part = Part.parse(shard)
        return part_folder(out, part.number, part.of), part

    @cached_property
    def _runner_for(self) -> Callable[[HeadModel, Mapping[str, Any]], Runner]:
        """Who runs the passes: a function of the model and of how it was loaded (keywords of ``load_model``).

        What it says of threads is settled before the request is written, so ``study`` calls it.
        """
        address, workers = self.workers.address, self.workers.workers
        if self.workers.engine == "local":
            if address is not None:
                raise RequestError("--address is of a Ray cluster", fix="add --engine ray, or leave it out")
            return self._here if workers is None else self._on_workers(workers)
        if workers is not None:
            raise RequestError(
                "--workers are processes of this machine, and Ray starts its own",
                fix="leave out --workers or --engine ray",
            )
        from headscope.engines.ray import require_ray, runner_of

        require_ray()
        if "OMP_NUM_THREADS" not in os.environ:
            _use_one_thread()  # as Ray's workers do
        return lambda model, options: runner_of(model, options, address)

    @staticmethod
    def _here(_model: HeadModel, _options: Mapping[str, Any]) -> Runner:
        from headscope.engines.engine import in_process

        return in_process

    def _on_workers(self, asked: str) -> Callable[[HeadModel, Mapping[str, Any]], Runner]:
        """``--workers``; one alone is this process, with one thread as each of several has."""
        from headscope.engines.local import LocalWorkers
        from headscope.engines.worker_count import fitting, parse_workers

        n_asked = parse_workers(asked)
        if n_asked is not None:
            _use_one_thread()

        def runner(model: HeadModel, options: Mapping[str, Any]) -> Runner:
            n_workers = n_asked
            if n_workers is None:
                n_workers, why = fitting(model)
                if not self.printed.quiet:
                    console.note(f"--workers auto: {why}")
            if n_workers == 1:
                return self._here(model, options)
            _use_one_thread()
            workers = LocalWorkers(model, n_workers)
            self.called.context.call_on_close(workers.close)
            return workers

        return runner

    # --- the model, and the run --------------------------------------------------------------------------------------

    def study(self, profile: Profile, concepts: Sequence[str] | str | None = None) -> Study:
        """The model, asked the profile; ``concepts`` by default those of the options.

        Raises:
            RequestError: before the model is loaded: no such engine, Ray is not installed, no such outcome, or a file
                of heads that names none.
            ModelError, LawError: see ``load_model``.
        """
        from headscope.runs.head_files import rows_of
        from headscope.study import Study

        rows = rows_of(str(self.called.context.params.get("heads", "")))
        if len({row.spec for row in rows}) < len(rows) and not self.printed.quiet:
            console.note("the file names some heads in several rows; each is taken once")
        _ = self._runner_for
        asked = self.settings.concepts if concepts is None else concepts
        own = [one.name for one in self.own_outcomes]
        settings = replace(self.settings, concepts=asked, chat_template=self.template, outcomes=own)
        model = load(self.asked.model, self.loading)
        self.runner(model)
        return Study(model, profile, **vars(settings))

    def options(self, study: Study, *groups: object, **settled: Any) -> dict[str, Any]:
        """The options that name the run: those of the verb that its groups declare so, as asked or as settled since."""
        offered = self.called.fields
        options = {name: value for group in groups for name, value in request_options(group, offered).items()}
        options |= {"concepts": list(study.names)} if "concepts" in offered else {}
        return options | {"chat_template": study.settings.chat_template} | settled

    @property
    def kept(self) -> Keeping:
        """Where and how results are kept, and where each option came from."""
        context, keeping = self.called.context, self.keeping
        sources = {name: source for name in context.params if (source := _source(context, name)) is not None}
        words: list[str] = context.find_root().obj or []
        return Keeping(self._place[0], keeping.resume, keeping.force, sources, words)

    def runner(self, model: HeadModel) -> tuple[Runner, Part | None]:
        """Who runs the pieces, and which of them."""
        if model not in self._runners:
            self._runners[model] = self._runner_for(model, vars(self.loading))
        return self._runners[model], self._place[1]

    @cached_property
    def _runners(self) -> dict[HeadModel, Runner]:
        return {}

    def progress(self) -> Any:
        """Bars or lines, unless no one is to see them; see ``console.progress``."""
        return console.progress(self.printed.quiet or self.printed.json)

    def serve(
        self, verb: str, study: Study, options: Mapping[str, Any], work: Callable[[Study], Mapping[str, Result]]
    ) -> Run:
        """The run of ``work``, made, continued or found finished."""
        from headscope.engines.engine import Engine
        from headscope.verbs.run_folder import begin_run, write_results

        def made() -> Run:
            folder = begin_run(verb, study, options, self.kept)
            with folder, self.progress() as progress:
                write_results(folder, work(study.run_by(Engine(folder.shards, *self.runner(study.model)), progress)))
            return folder

        return results.served(made)

    # --- what is printed ---------------------------------------------------------------------------------------------

    def tell(
        self,
        run: Run,
        facts: Mapping[str, Any],
        tables: Iterable[tuple[str, pd.DataFrame, str | Mapping[str, str]]],
        *lines: str,
    ) -> None:
        """Print a run: its facts and ``facts`` as JSON, or warnings, tables (unless quiet) and lines."""
        if self.printed.json:
            console.print_json({**results.facts(run), **facts})
            return
        results.print_warnings(run)
        if not self.printed.quiet:
            for title, table, columns in tables:
                results.print_rows(title, table, columns)
        for line in lines or (f"run: {run.path}",):
            console.say(line)


def load(name: str, loading: Loading) -> HeadModel:
    """The model of the options; see ``load_model``."""
    from headscope.models.loading import load_model

    return load_model(name, **vars(loading))


def reading_of(columns: Columns) -> Reading:
    """How files of prompts are read."""
    from headscope.profiles.columns import Reading

    return Reading(columns.text_column, columns.label_column, columns.drop_duplicates)


def criteria_of(judging: Judging, run: Run | None = None) -> Criteria:
    """What decides a verdict: as asked, else as in ``run``, else the defaults."""
    from headscope.stats.evidence import Criteria

    kept: Any = {} if run is None else run.manifest.request.options.get("criteria", {})
    before = kept if isinstance(kept, Mapping) else {"criteria": kept}  # which the next line refuses
    asked = {"minimum_nats": judging.minimum_effect, "minimum_attention_share": judging.minimum_attention}
    return Criteria.of({**before, **{name: value for name, value in asked.items() if value is not None}})


def check_edits(edits: Sequence[str]) -> None:
    """Raise RequestError where an edit stands twice."""
    if len(set(edits)) < len(edits):
        raise RequestError("an edit is asked for twice", expected="each edit once", got=", ".join(edits))


def refuse_unused(context: typer.Context, names: Iterable[str], because: str) -> None:
    """Refuse options that were given and would be recorded without being used.

    ``because`` ends the sentence "--share is not used ...".

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


def _use_one_thread() -> None:
    """The request says how many threads; a worker has one, so this process counts with as many."""
    import torch

    torch.set_num_threads(1)


def _source(context: typer.Context, name: str) -> str | None:
    source = context.get_parameter_source(name)
    return None if source is None else _SOURCES.get(source.name, source.name.lower())

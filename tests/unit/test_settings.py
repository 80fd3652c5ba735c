"""Every option is declared once; what must be spelled out for editors, and what other rooms list, is equal to that."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

import headscope as hs
from headscope import settings
from headscope.chat import THINKING
from headscope.cli import ablate, attribute, main, patch, run, screen, sweep
from headscope.cli.commands import OFFERED, command
from headscope.errors import RequestError
from headscope.measure.edit_kinds import EDIT_KINDS
from headscope.measure.outcomes import Outcome
from headscope.measure.outcomes.keywords import KEYWORD_COUNTING
from headscope.runs.folder import RESUME, Run
from headscope.runs.manifest import Request
from headscope.settings import Declared, Option, declared, keywords, request_options
from headscope.settings.groups import ALWAYS_WRITTEN, MEASURE
from headscope.settings.measuring import RandomSets
from headscope.verbs.budget import BUDGETS
from headscope.verbs.patch_pairs import ALIGNMENTS, DIRECTIONS
from headscope.verbs.screen import QUERIES

COMMANDS = {
    "run": (run.run, "--negative-control --max-tokens 2 --outcome refusal"),
    "screen": (screen.screen, ""),
    "ablate": (ablate.ablate, "--heads 0:0 --outcome refusal"),
    "sweep": (sweep.sweep, "--negative-control --sets --top-n 5 --outcome first_logit"),
    "patch": (patch.patch, "--heads 0:0 --outcome refusal"),
    "attribute": (attribute.attribute, ""),
}

STUDY, WRITING = settings.StudySettings, settings.Writing
# public function, the groups that its keywords are declared in
PUBLIC: dict[Any, tuple[type, ...]] = {
    hs.screen: (settings.Screening, STUDY),
    hs.sweep: (settings.Sweeping, STUDY),
    hs.ablate: (settings.Ablating, settings.Texts, WRITING, STUDY),
    hs.patch: (settings.Patching, settings.Texts, WRITING, STUDY),
    hs.attribute: (settings.Attributing, STUDY),
    hs.check_profile: (STUDY,),
    hs.Study.ablate: (settings.Ablating, settings.Texts, WRITING),
    hs.Study.patch: (settings.Patching, settings.Texts, WRITING),
    hs.run: (settings.RunSettings, WRITING, STUDY, settings.Keeping),
    hs.load_model: (settings.Loading,),
}
OWN = {"self", "model", "profile", "out", "runner", "part", "criteria", "prompts", "role", "heads", "study", "options"}


def _of(groups: tuple[type, ...]) -> dict[str, Declared]:
    return {name: each for group in groups for name, each in declared(group).items()}


@pytest.mark.parametrize("function", PUBLIC, ids=lambda function: function.__name__)
def test_the_keywords_of_a_public_function_are_options_with_the_defaults_and_words_declared(function: Any) -> None:
    known = _of(PUBLIC[function])
    assert keywords(function) - OWN <= set(known)
    for name, parameter in inspect.signature(function).parameters.items():
        if name in known and parameter.default is not inspect.Parameter.empty:
            assert parameter.default == known[name].default, name
    if function is not hs.load_model:
        assert all(f"\n    {name}: " in function.__doc__ for name in keywords(function) & set(known))
    else:
        assert set(known) <= keywords(function)


@pytest.mark.parametrize(
    ("twin", "groups"),
    [
        (settings.StudyOptions, (STUDY,)),
        (settings.AblateOptions, (STUDY, WRITING)),
        (settings.PatchOptions, (STUDY, WRITING, settings.Patching)),
        (settings.RunOptions, (STUDY, WRITING, settings.RunSettings, settings.Keeping)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_spelled_out_for_editors_is_the_declaration(twin: Any, groups: tuple[type, ...]) -> None:
    known = _of(groups)
    for name, kind in typing.get_type_hints(twin).items():
        assert kind == known[name].type, name
    left_out = set(known) - set(twin.__optional_keys__)
    only_ablate = set(declared(WRITING)) - set(ALWAYS_WRITTEN)
    assert left_out <= (set() if twin is settings.AblateOptions else only_ablate) | {"out"}


def test_words_that_other_rooms_list_are_those_declared() -> None:
    choices = {
        (settings.Keeping, "resume"): RESUME,
        (settings.RunSettings, "budget"): BUDGETS,
        (settings.RunSettings, "query"): QUERIES,
        (settings.RunSettings, "edits"): EDIT_KINDS,
        (settings.Patching, "alignment"): ALIGNMENTS,
        (settings.Patching, "directions"): ("both", *DIRECTIONS),
        (settings.Writing, "keyword_counting"): KEYWORD_COUNTING,
        (settings.StudySettings, "thinking"): THINKING,
    }
    for (group, name), known in choices.items():
        assert declared(group)[name].option.choices == known


def _keys(content: Mapping[str, Any]) -> Iterator[str]:
    for key, value in content.items():
        yield key
        if isinstance(value, dict):
            yield from _keys(value)


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_option_is_in_the_request_or_declared_not_to_be(
    verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Request] = []

    def create(_path: Path, request: Request, **_about: Any) -> Run:
        seen.append(request)
        raise RequestError("seen")

    monkeypatch.setattr(Run, "create", create)
    own = Outcome("first_logit", "nats", lambda logits, _: logits[:, 0])
    monkeypatch.setattr("headscope.measure.outcomes.choosing.REGISTERED", {own.name: own})
    monkeypatch.chdir(tmp_path)
    function, words = COMMANDS[verb]
    with pytest.raises(SystemExit):
        main([verb, "--model", "demo", "--concept", "gratitude", *words.split()])
    [request] = seen
    there = set(_keys(request.options))
    for each in getattr(function, OFFERED):
        place, _, inside = each.option.request.partition(".")
        if place == "options":
            assert (inside or each.field) in there, each.field
        elif place:
            assert place in Request.model_fields, each.field
        else:
            assert each.field not in there, each.field


def test_a_public_function_refuses_a_keyword_that_it_does_not_have() -> None:
    with pytest.raises(TypeError, match=r"run\(\) got an unexpected keyword argument 'scope'"):
        hs.run(None, None, scope="generated")  # type: ignore[arg-type, call-arg]
    with pytest.raises(TypeError, match=r"Study\(\) got an unexpected keyword argument 'concept'"):
        hs.Study(None, None, concept="anger")  # type: ignore[arg-type, call-arg]
    with pytest.raises(TypeError, match=r"patch\(\) got an unexpected keyword argument 'scope'"):
        hs.patch(hs.load_model("demo"), hs.load_profile("baseline"), scope="all")  # type: ignore[call-arg]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dosing(RandomSets):
    """A new group with a new option."""

    dose: Annotated[float, Option("How much of it.", MEASURE, came_later=True)] = 1.0


def test_a_new_option_is_one_declaration(capsys: pytest.CaptureFixture[str]) -> None:
    given: list[Dosing] = []

    @command("dose n_random", n_random=7)
    def measure(dosing: Dosing) -> None:
        given.append(dosing)

    app = typer.Typer()
    app.command()(measure)
    assert "How much of it." in CliRunner().invoke(app, ["--help"]).output
    CliRunner().invoke(app, ["--dose", "0.5"])
    CliRunner().invoke(app, [])
    assert given == [Dosing(dose=0.5, n_random=7), Dosing(n_random=7)]
    assert [request_options(dosing) for dosing in given] == [{"n_random": 7, "dose": 0.5}, {"n_random": 7}]
    assert CliRunner().invoke(app, ["--n-random", "0"]).exit_code == 2

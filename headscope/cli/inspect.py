"""``headscope inspect``: what does this prompt show, with and without these heads?"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headscope.cli import console
from headscope.cli.commands import command
from headscope.cli.job import LOADING, TEMPLATE, Job, refuse_unused_sampling
from headscope.errors import RequestError
from headscope.settings import Loading, Texts, Writing
from headscope.settings.inspecting import Inspecting

if TYPE_CHECKING:
    from headscope.verbs.inspect_lines import AskedEdit
    from headscope.verbs.inspection import Inspection

_WRITING = ("max_tokens", "temperature", "top_p", "greedy")


@command(
    f"text model prompt_id messages profile concept heads edit words {TEMPLATE} no_generate max_tokens temperature "
    f"top_p greedy {LOADING} json quiet"
)
def inspect(job: Job, inspecting: Inspecting, texts: Texts, writing: Writing) -> None:
    """Read one prompt, unedited and with heads edited: its tokens, the next words, the log-odds, both continuations.

    One prompt is an example, not evidence: the last line is the command that tests the edit on a whole profile.

    [bold]Examples[/bold]

    headscope inspect --model demo "Thank you" --heads 3:3 --edit mean

    headscope inspect --model demo --prompt-id gratitude-003 --heads "1:*" --edit zero --heads 3:3 --edit scale=2 --json

    headscope inspect --model gpt2 "She felt" --heads 5:1 --edit add=4 --concept gratitude --seed 7
    """
    asked, messages = _checked(job, inspecting, texts, writing)
    profile = job.profile(concepts=None if inspecting.concept is None else [inspecting.concept])

    from headscope.verbs.inspect import Inspector

    if messages is not None:
        job = replace(job, settings=replace(job.settings, chat_template=job.template or True))
    study = job.study(profile)
    with job.progress() as progress:
        inspector = Inspector.of(study.run_by(study.engine, progress), loaded=_loaded(job.loading))
        view = inspector.read(
            inspecting.text, prompt=inspecting.prompt_id, messages=messages, concept=inspecting.concept
        )
        edits = [view.edit(one.heads, one.kind, factor=one.factor, dose=one.dose, concept=one.concept) for one in asked]
        chosen: dict[str, Any] = {name: getattr(writing, name) for name in _WRITING}
        given = {name: value for name, value in chosen.items() if value != getattr(Writing(), name)}
        given |= {"seed": study.seed} if study.seed else {}
        facts: dict[str, Any] = {
            "tokens": [
                {"id": token, "text": text, "special": special}
                for token, text, special in zip(view.ids, view.tokens, view.special, strict=True)
            ],
            "heads": [edit.heads for edit in edits],
            "next_words": console.records(view.next_words(edits, inspecting.words)),
            "log_odds": console.records(view.log_odds(edits)) if view.misfit is None else None,
            "texts": view.texts(edits, **chosen, seed=study.seed) if texts.generate else {},
            "command": view.command(edits, **given),
            "python": view.python(edits, **given),
            "test": view.test_command(edits),
        }
    if view.misfit is not None:
        console.warn(f"log-odds cannot be read, because with the profile's readouts behind it {view.misfit}")
    if job.printed.json:
        console.print_json(facts)
    else:
        _print(facts, view, quiet=job.printed.quiet)


def _checked(
    job: Job, inspecting: Inspecting, texts: Texts, writing: Writing
) -> tuple[list[AskedEdit], list[dict[str, str]] | None]:
    """The edits and the messages; RequestError where the request contradicts itself, before a model is loaded."""
    from headscope.verbs.inspect_lines import AskedEdit

    heads, words = inspecting.heads, inspecting.edits
    if len(heads) != len(words):
        raise RequestError(
            "each --heads needs an --edit, and each --edit its --heads", expected="as many of both",
            got=f"{len(heads)} and {len(words)}",
        )  # fmt: skip
    refuse_unused_sampling(job.called.context, greedy=writing.greedy)
    if not texts.generate:
        job.refuse(_WRITING, "with --no-generate, which writes no text")
    given = [one for one in (inspecting.text, inspecting.prompt_id, inspecting.messages) if one is not None]
    if len(given) != 1:
        raise RequestError(
            "one prompt is inspected", expected="one of TEXT, --prompt-id and --messages", got=f"{len(given)} of them"
        )
    asked = [AskedEdit.read(spec, word) for spec, word in zip(heads, words, strict=True)]
    if inspecting.messages is None:
        return asked, None
    try:
        messages: Any = json.loads(inspecting.messages)
    except json.JSONDecodeError as error:
        raise RequestError("--messages is no JSON", expected=_MESSAGES, got=str(error)) from None
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise RequestError("--messages is no list of messages", expected=_MESSAGES, got=inspecting.messages[:60])
    return asked, messages


_MESSAGES = '[{"role": "user", "content": "..."}]'


def _loaded(loading: Loading) -> dict[str, Any]:
    """How the model was loaded, where that is not the default."""
    return {name: value for name, value in vars(loading).items() if value != getattr(Loading(), name)}


def _print(facts: dict[str, Any], view: Inspection, *, quiet: bool) -> None:
    tokens = [f"{index} {one['text']!r}" for index, one in enumerate(facts["tokens"])]
    console.say("tokens: " + "  ".join(tokens))
    if not quiet:
        columns = {"token": "next word", "probability_baseline": "baseline"}
        changed = {"probability_edited": "edited", "change": "change"} if facts["heads"] else {}
        rows = [{**row, "token": repr(row["token"])} for row in facts["next_words"]]
        console.print_table("What it would say", rows, columns | changed)
        if facts["log_odds"]:
            columns = {"concept": "concept", "baseline_nats": "baseline (nats)"}
            changed = {"edited_nats": "edited (nats)", "change_nats": "change"} if facts["heads"] else {}
            console.print_table("Log-odds", facts["log_odds"], columns | changed)
    for arm, text in facts["texts"].items():
        console.say(f"{arm}: {view.prompt.text} |{text}")
    console.say("One prompt is an example, not evidence; what tests it:")
    console.say(facts["test"])

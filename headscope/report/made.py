"""The sections on how a run was made: its files, its commands, what its versions were."""

from __future__ import annotations

from collections.abc import Iterator

from headscope.report.document import Block, Cell, Code, Foreign, Table, Verbatim
from headscope.report.escaping import code
from headscope.report.run_report import RunReport

REMAKE = "headscope plot RUN --force\nheadscope report RUN --force"


def artifacts(run: RunReport) -> Iterator[Block]:
    """Every file of the run, and what it holds."""
    if not run.facts.artifacts:
        yield run.say("artifacts.none")
        return
    yield Table(
        ("file", "content"), [[Verbatim(path), run.words.file(path)] for path in run.facts.artifacts], numeric=False
    )


def commands(run: RunReport) -> Iterator[Block]:
    """The commands, fingerprints and versions."""
    yield from command_lines(run)
    facts, words = run.facts, run.words
    prints: list[list[Cell]] = [
        [words(f"fingerprints.{name}"), Verbatim(value[:16])] for name, value in facts.fingerprints.items()
    ]
    versions: list[list[Cell]] = [[Foreign(name), Foreign(version)] for name, version in facts.versions.items()]
    rows: list[list[Cell]] = [[words("commands.seed"), Foreign(facts.seed)], *prints, *versions]
    yield Table((Foreign(""), Foreign("")), rows, numeric=False)


def command_lines(run: RunReport) -> Iterator[Block]:
    """The command of the run, and those that make its pictures and reports again."""
    words, facts = run.words, run.facts
    if facts.command:
        yield run.say("commands.made_by")
        yield Code(facts.command)
    else:
        request = words("commands.request", digest=code(facts.digest)) if facts.digest else ""
        yield run.say("commands.python", request=request)
    yield run.say("commands.again")
    yield Code(REMAKE)

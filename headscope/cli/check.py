"""``headscope check MODEL``: is this a model headscope can measure? Every law, with the measured difference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headscope.cli import console
from headscope.cli.commands import command
from headscope.cli.job import load
from headscope.errors import ProfileError
from headscope.settings import Loading, Option
from headscope.settings.command_line import Json

if TYPE_CHECKING:
    from headscope.models.head_model import HeadModel


@dataclass(frozen=True, kw_only=True)
class _Checked(Json):
    model: Annotated[
        str,
        Option("'demo', a checkpoint folder, a GGUF file, or a hub model's name.", "", is_name=True, is_argument=True),
    ]


@command("model device device_map dtype bos tokenizer trust_remote_code json")
def check(checked: _Checked, loading: Loading) -> None:
    """Load a model, name its heads, and measure every law that the measurements rest on.

    Exit code 1 where a law fails.

    [bold]Examples[/bold]

    headscope check demo

    headscope check ./my-checkpoint --dtype bfloat16 --json
    """
    from headscope.models.laws import check_laws
    from headscope.verbs.forecast import weights_mib

    loaded = load(checked.model, replace(loading, unchecked=True))
    report = check_laws(loaded)
    facts = loaded.describe()
    facts["weights_mib"] = weights_mib(loaded)
    facts["sweep"] = _of_a_sweep(loaded) if report.passed else {}
    if checked.json:
        console.print_json(facts)
    else:
        _print_facts(facts)
        console.say(str(report))
        _print_sweep(facts["sweep"])
        console.say(
            "load check passed" if report.passed else "load check FAILED: measurements on this model cannot be trusted"
        )
    if not report.passed:
        raise typer.Exit(1)


def _of_a_sweep(model: HeadModel) -> dict[str, Any]:
    """What a sweep of every head with the bundled profile would take; why that cannot be said where it cannot."""
    from headscope.profiles.loading import load_profile
    from headscope.study import Study
    from headscope.verbs.forecast import forecast_sweep

    try:
        return forecast_sweep(Study(model, load_profile("baseline"))).record()
    except ProfileError as error:
        return {"none": str(error)}


def _print_sweep(sweep: dict[str, Any]) -> None:
    if "none" in sweep:
        console.note(f"no estimate: the bundled profile does not fit this model: {sweep['none']}")
    elif sweep:
        console.say(
            f"a sweep of every head with profile baseline: {sweep['forward_passes']:,} forward passes, about "
            f"{sweep['seconds']:,.0f} s (an estimate from {sweep['calibration']['measured_seconds']:.2f} s of "
            f"calibration), {sweep['peak_mib']:,.0f} MiB held"
        )


def _print_facts(facts: dict[str, Any]) -> None:
    heads = facts["heads_per_layer"]
    counts = "/".join(map(str, sorted(set(heads) - {0})))
    console.say(f"{facts['name']}: {facts['family']} ({facts['class']}), {facts['n_layers']} layers x {counts} heads")
    if facts["layers_without_heads"]:
        console.say(f"layers without attention heads: {', '.join(map(str, facts['layers_without_heads']))}")
    console.say(
        f"{facts['parameters_count']:,} parameters, {facts['weights_mib']:,.1f} MiB as {facts['dtype']} "
        f"on {facts['device']}, context {facts['context_length'] or 'without limit'}, attention {facts['attention']}"
    )
    for note in facts["notes"]:
        console.warn(note)

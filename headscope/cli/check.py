"""``headscope check MODEL``: is this a model headscope can measure? Every law, with the measured difference."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headscope.cli import console, options
from headscope.cli.asking import ask_model


def command(
    model: Annotated[
        str, typer.Argument(help="'demo', a checkpoint folder, or a hub model's name.", show_default=False)
    ],
    device: options.Device = "auto",
    device_map: options.DeviceMap = None,
    dtype: options.Dtype = "auto",
    bos: options.Bos = "auto",
    trust_remote_code: options.TrustRemoteCode = False,
    json: options.Json = False,
) -> None:
    """Load a model, name its heads, and measure every law that the measurements rest on.

    Exit code 1 where a law fails.

    [bold]Examples[/bold]

    headscope check demo

    headscope check ./my-checkpoint --dtype bfloat16 --json
    """
    from headscope.models.laws import check_laws

    loaded = ask_model(
        model, device=device, device_map=device_map, dtype=dtype, bos=bos, unchecked=True,
        trust_remote_code=trust_remote_code,
    )  # fmt: skip
    report = check_laws(loaded)
    facts = loaded.describe()
    facts["weights_mib"] = _weights_mib(loaded.hf)
    if json:
        console.print_json(facts)
    else:
        _print_facts(facts)
        console.say(str(report))
        console.say(
            "load check passed" if report.passed else "load check FAILED: measurements on this model cannot be trusted"
        )
    if not report.passed:
        raise typer.Exit(1)


def _weights_mib(hf: Any) -> float:
    return sum(weight.numel() * weight.element_size() for weight in hf.parameters()) / 2**20


def _print_facts(facts: dict[str, Any]) -> None:
    heads = facts["heads_per_layer"]
    counts = "/".join(map(str, sorted(set(heads))))
    console.say(f"{facts['name']}: {facts['family']} ({facts['class']}), {facts['n_layers']} layers x {counts} heads")
    console.say(
        f"{facts['parameters_count']:,} parameters, {facts['weights_mib']:,.1f} MiB as {facts['dtype']} "
        f"on {facts['device']}, context {facts['context_length'] or 'without limit'}, attention {facts['attention']}"
    )
    for note in facts["notes"]:
        console.warn(note)

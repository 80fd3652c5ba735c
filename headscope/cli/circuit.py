"""``headscope circuit RUN``: a run's heads as a circuit that other tools read. Reads the folder only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from headscope.cli import console, results
from headscope.cli.commands import command
from headscope.cli.inputs import check_outputs
from headscope.settings import Option
from headscope.settings.command_line import Json, OneRun
from headscope.settings.groups import CONCEPT, OUTPUT


@dataclass(frozen=True, kw_only=True)
class _Circuit(OneRun, Json):
    out: Annotated[Path, Option("The file to write, .json; one that exists is replaced.", OUTPUT)]
    concept: Annotated[
        str | None, Option("The concept or task of the circuit; left out: the run's only one.", OUTPUT, CONCEPT)
    ] = None
    top_n: Annotated[
        int | None,
        Option("So many heads, by the size of their effect; left out: those that carry it.", OUTPUT, check=1),
    ] = None


@command("run out concept top_n json")
def circuit(asked: _Circuit) -> None:
    """Write the heads of a run as MIB's circuit JSON: their scores (the size of each effect) and which are in.

    Nodes only: a run measures no edges and no MLPs. Fill in parallel_attn_mlp, which a run does not record.

    [bold]Examples[/bold]

    headscope circuit runs/ioi --out circuit.json

    headscope circuit runs/demo --concept gratitude --top-n 10 --out circuit.json
    """
    check_outputs(None, asked.out, ".json")
    from headscope.report.circuit import circuit as circuit_of
    from headscope.runs.atomic import write_json_atomic
    from headscope.runs.folder import Run

    opened = Run.open(asked.run)
    results.print_unfinished(opened)
    made = circuit_of(opened, asked.concept, asked.top_n)
    path = write_json_atomic(asked.out, made)
    n_in = sum(node["in_graph"] for node in made["nodes"].values())
    if asked.json:
        console.print_json({"file": str(path), "nodes_count": len(made["nodes"]), "in_graph_count": n_in})
        return
    if made["cfg"]["d_model"] is None:
        console.warn("this run did not record the model's width: d_model is null in the file")
    console.say(f"{path}: {n_in} of {len(made['nodes'])} heads in the circuit; no edges")

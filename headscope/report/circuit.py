"""A run's heads as MIB's circuit JSON: nodes with a score, and which of them belong to the circuit.

A head's score is the size of its deciding effect on one concept, |nats|. It is in the graph where its verdict says that
it carries the concept, or, where that is asked for, as one of the n with the largest score. A run measures heads: there
are no edges, no MLPs, and no node for what was not removed.
"""

from __future__ import annotations

from typing import Any, cast

from headscope.errors import RequestError, one_of
from headscope.report.findings import CARRIERS
from headscope.runs.folder import Run


def circuit(run: Run, concept: str | None = None, top_n: int | None = None) -> dict[str, Any]:
    """The circuit of ``concept``, which may be left out where the run has one; ``top_n``: heads in it, by their score.

    Returns:
        ``{"cfg": …, "nodes": {"a0.h1": {"in_graph": …, "score": …}}, "edges": {}}``. ``parallel_attn_mlp`` is None:
        no run records it; ``d_model`` is None in runs that did not.

    Raises:
        RequestError: the run has no verdicts, not this concept, or a model that the format cannot describe.
    """
    if "verdicts" not in run.tables:
        raise RequestError(
            "run has no verdicts", expected="heads removed and judged", got=", ".join(run.tables) or "no tables",
            where=str(run.path), fix="headscope sweep or headscope run removes heads; headscope rank RUN judges them",
        )  # fmt: skip
    table = run.table("verdicts")
    concepts = list(dict.fromkeys(map(str, table["concept"])))
    if concept is None and len(concepts) != 1:
        raise RequestError(
            "run has several concepts", expected="one, of which the circuit is", got=", ".join(concepts),
            where=str(run.path), fix="--concept NAME",
        )  # fmt: skip
    asked = concepts[0] if concept is None else one_of("concept", concept, concepts)
    own = table[(table["concept"] == asked) & ~table["heads"].str.contains(",") & table["estimate"].notna()]
    scores = {_node(str(row["heads"])): abs(float(row["estimate"])) for row in own.to_dict("records")}
    if top_n is None:
        chosen = {_node(str(heads)) for heads in own["heads"][own["verdict"].isin(CARRIERS)]}
    else:
        chosen = set(sorted(scores, key=lambda name: -scores[name])[:top_n])
    return {
        "cfg": _cfg(run),
        "nodes": {name: {"in_graph": name in chosen, "score": score} for name, score in scores.items()},
        "edges": {},
    }


def _cfg(run: Run) -> dict[str, Any]:
    model = run.manifest.model
    counts = model.get("heads_per_layer")
    heads = cast("list[int]", counts) if isinstance(counts, list) else []
    if len({*heads}) != 1:
        raise RequestError(
            "the format describes models with as many heads in every layer",
            expected="one number of heads", got=", ".join(map(str, heads)) or "none recorded", where=str(run.path),
        )  # fmt: skip
    return {
        "n_layers": len(heads), "n_heads": heads[0], "parallel_attn_mlp": None, "d_model": model.get("d_model"),
    }  # fmt: skip


def _node(head: str) -> str:
    layer, _, number = head.partition(":")
    return f"a{layer}.h{number}"

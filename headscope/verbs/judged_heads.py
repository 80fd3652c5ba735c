"""The heads of a run that bear a verdict, by concept: for whoever goes on with what a run has found."""

from __future__ import annotations

from collections.abc import Sequence

from headscope.errors import RequestError, one_of
from headscope.heads import HeadSet
from headscope.runs.folder import Run
from headscope.stats import verdicts
from headscope.study import Study

CARRIERS = (
    verdicts.CARRIER, verdicts.CARRIER_UNTESTED, verdicts.SHARED_CARRIER, verdicts.READING_ELSEWHERE,
    verdicts.ELSEWHERE_UNTESTED,
)  # fmt: skip
"""What is meant by carriers of every kind."""


def judged_heads(run: Run, study: Study, wanted: Sequence[str] | None = None) -> dict[str, HeadSet]:
    """Concept -> its single heads of one of these verdicts, of the study's concepts that have any.

    Args:
        run: a finished run with verdicts.
        study: who will use the heads; its model must be the run's.
        wanted: verdicts; carriers of every kind by default.

    Raises:
        RequestError: the run has no verdicts, was made with another model, or no concept has such a head.
    """
    for verdict in wanted or ():
        one_of("verdict", verdict, verdicts.VERDICTS)
    if "verdicts" not in run.tables:
        raise RequestError("the run has no verdicts", expected="a run of headscope run", where=str(run.path))
    if run.manifest.request.model_fingerprint != study.model.fingerprint:
        raise RequestError(
            "the run was made with another model, in which its heads are other heads",
            expected=study.model.name, got=str(run.manifest.model.get("name")), where=str(run.path),
            fix="name the heads (--heads) where that is meant",
        )  # fmt: skip
    table = run.table("verdicts")
    alone = table[~table["heads"].str.contains(",")]
    rows = alone[alone["verdict"].isin(list(wanted or CARRIERS)) & alone["concept"].isin(list(study.names))]
    found = {
        name: study.model.head_set(",".join(dict.fromkeys(rows.loc[rows["concept"] == name, "heads"])))
        for name in study.names
        if (rows["concept"] == name).any()
    }
    if not found:
        counts = alone[alone["concept"].isin(list(study.names))]["verdict"].value_counts()
        raise RequestError(
            f"no head of {', '.join(study.names)} has this verdict",
            expected=" or ".join(wanted or CARRIERS),
            got=", ".join(f"{verdict} ({count})" for verdict, count in counts.items()) or "no verdict",
            where=str(run.path),
            fix="ask for another verdict (--verdict), or name the heads (--heads)",
        )
    return found

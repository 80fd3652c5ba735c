"""Results into a run folder: the request that names the run, and the tables, arrays and records of its verbs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from headscope.measure.edit_kinds import own_edits
from headscope.measure.sampling import stop_ids
from headscope.models.memory_budget import held_tokens, most_written_at_once
from headscope.runs.folder import Run
from headscope.runs.manifest import Request
from headscope.runs.paths import default_run_path
from headscope.runs.phase6 import head_scores_bytes, head_scores_document
from headscope.runs.provenance import git_state, machine, package_versions
from headscope.settings import Keeping
from headscope.stats.ranking import primary_screen
from headscope.study import Study
from headscope.verbs.result import Result
from headscope.vocabulary import shown_token, tokenizer_fingerprint


def begin_run(verb: str, study: Study, options: Mapping[str, Any], keeping: Keeping | None = None) -> Run:
    """The run folder of a request, made or found again.

    Args:
        verb: ``run``, ``screen``, ...
        study: what is asked of which model.
        options: every option on which the result depends, defaults filled in.
        keeping: where and how results are kept; ``runs/<model>-<profile>-<digest>`` by default.

    Raises:
        RunFinished: this request was served before.
        RequestError: the folder holds something else.
    """
    model, profile, keeping = study.model, study.profile, keeping or Keeping()
    threads = torch.get_num_threads()
    request = Request(
        verb=verb,
        options=dict(options) | _of_ones_own(study, options),
        model_fingerprint=model.fingerprint,
        profile_fingerprint=profile.fingerprint,
        seed=study.seed,
        threads=threads,
        device=model.device.type,
        dtype=str(model.dtype).removeprefix("torch."),
        batch_plan=_batch_plan(study, options),
        text=_text(study, options),
    )
    path = default_run_path(model.name, profile.name, request) if keeping.out is None else Path(keeping.out)
    return Run.create(
        path,
        request,
        resume=keeping.resume,
        force=keeping.force,
        model=model.describe(),
        profile=_described(study),
        versions=package_versions(),
        git=git_state(),
        machine=machine(device=str(model.device), threads=threads),
        request_sources=dict(keeping.sources),
        command=list(keeping.command),
        warnings=[*model.notes, *profile.warnings],
    )


def _of_ones_own(study: Study, options: Mapping[str, Any]) -> dict[str, Any]:
    """Functions of the user's that the results depend on, by their fingerprints; nothing where there are none."""
    edits = own_edits(options.get("edits", ()))
    outcomes = [outcome.record() for outcome in study.own_outcomes]
    return ({"own_edits": edits} if edits else {}) | ({"outcomes": outcomes} if outcomes else {})


def _writes_text(options: Mapping[str, Any]) -> bool:
    return "max_tokens" in options and bool(options.get("generate", True))


def _batch_plan(study: Study, options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that decides which rows run together, the machine's memory where it does."""
    plan: dict[str, Any] = {"batch_tokens": study.batch_tokens}
    if _writes_text(options):
        plan |= {"held_tokens": held_tokens(study.model), "texts_at_once": most_written_at_once(study.model)}
    return plan


def _text(study: Study, options: Mapping[str, Any]) -> dict[str, Any]:
    """What turns text into tokens, and ends what the model writes, where it writes."""
    model, chat_template = study.model, study.settings.chat_template
    tokenizer, bos = model.tokenizer, model.bos_token_id
    text: dict[str, Any] = {
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "bos": "none" if bos is None else shown_token(tokenizer, bos),
    }
    chat = study.encoder.chat
    if chat is not None:
        text["chat_template"] = chat.fingerprint({prompt.roles for prompt in study.profile.prompts})
    if study.settings.thinking is not None:
        text["thinking"] = study.settings.thinking
    if _writes_text(options):
        named, at_eos = options.get("stop_tokens", ()), options.get("stop_at_eos", True)
        ids = stop_ids(model, at_eos=at_eos, chat_template=chat_template, named=named)
        text["stop_tokens"] = [shown_token(tokenizer, token) for token in ids]
    return text


def _described(study: Study) -> dict[str, Any]:
    """The profile, with the first prompt of each class that is asked as the model gets it: BOS and chat included."""
    profile, tokenizer = study.profile, study.model.tokenizer
    first: dict[str, str] = {}
    for name in (*study.names, profile.control):
        for prompt in profile.prompts_of(name)[:1]:
            tokens = study.encoder.encode_prompt(prompt)
            bos = str(tokenizer.convert_ids_to_tokens(tokens.ids[0])) if tokens.n_bos else ""
            first[name] = bos + tokens.text
    return {
        "name": profile.name,
        "description": profile.description,
        "source": profile.source,
        "fingerprint": profile.fingerprint,
        "language": profile.language,
        "control": profile.control,
        "prompts": {name: len(profile.prompts_of(name)) for name in (*profile.concepts, profile.control)},
        "readouts": list(profile.readouts),
        "first_prompts": first,
    }


def write_results(run: Run, results: Mapping[str, Result]) -> None:
    """Write what verbs gave: tables of the same name one below the other, arrays and records under the verb's name."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for result in results.values():
        for name, table in result.tables.items():
            tables.setdefault(name, []).append(table)
    for name, parts in tables.items():
        run.write_table(name, _joined(name, parts))
    arrays = {name: result.values for name, result in results.items() if result.values.sizes}
    if arrays:
        run.write_arrays(arrays)
    run.update(record={name: dict(result.record) for name, result in results.items()})
    for result in results.values():
        for warning in result.warnings:
            run.warn(warning)
    if "screen" in results:
        run.write_head_scores(head_scores_bytes(head_scores(run.manifest.model, results["screen"], run)))


def head_scores(model: Mapping[str, Any], screened: Result, run: Run | None = None, **added: Any) -> dict[str, Any]:
    """The content of the Phase 6 study's ``head_scores.json`` with what headscope adds."""
    coverage = screened.tables["coverage"]
    if run is not None:
        fingerprints = {
            "model": run.manifest.request.model_fingerprint,
            "profile": run.manifest.request.profile_fingerprint,
        }
        added = {"versions": run.manifest.versions, "fingerprints": fingerprints, **added}
    table = primary_screen(screened.table)
    n_compared = table.groupby("concept", sort=False)["n_prompts"].first()
    if screened.record["protocol"] == "phase6":
        # Its comparison is unpaired, so its rows count the prompts of both classes.
        n_prompts = coverage.set_index("concept")["n_prompts"]
        table = table.assign(n_prompts=table["concept"].map(n_prompts))
        n_compared = n_compared - n_prompts
    return head_scores_document(
        table,
        model=model["name"],
        heads_per_layer=model["heads_per_layer"],
        samples_neutral={str(name): int(count) for name, count in n_compared.items()},
        protocol=screened.record["protocol"],
        coverage={row["concept"]: row for row in coverage.to_dict("records")},
        warnings=list(screened.warnings),
        **added,
    )


def _joined(name: str, parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    table = pd.concat(parts, ignore_index=True)
    # An assay says the same of the same prompts whichever verb made it.
    return table.drop_duplicates("concept", ignore_index=True) if name in ("assay", "accuracy") else table

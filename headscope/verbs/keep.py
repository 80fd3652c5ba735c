"""Results into a run folder: the request that names the run, and the tables, arrays and records of its verbs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from headscope.chat import Chat
from headscope.measure.asked import encoder_of
from headscope.measure.sampling import stop_ids
from headscope.models.head_model import HeadModel
from headscope.profiles.types import Profile
from headscope.runs.folder import Run, default_run_path
from headscope.runs.manifest import Request
from headscope.runs.phase6 import head_scores_bytes, head_scores_document
from headscope.runs.provenance import git_state, machine, package_versions
from headscope.stats.ranking import primary_screen
from headscope.verbs.request import chosen_concepts
from headscope.verbs.result import Result
from headscope.vocabulary import shown_token, tokenizer_fingerprint


def begin(
    verb: str,
    model: HeadModel,
    profile: Profile,
    options: Mapping[str, Any],
    *,
    out: str | Path | None = None,
    seed: int,
    batch_tokens: int,
    sources: Mapping[str, str] | None = None,
    command: Sequence[str] = (),
    resume: str = "auto",
    force: bool = False,
) -> Run:
    """The run folder of a request, made or found again.

    Args:
        verb: ``run``, ``screen``, ...
        model: the model.
        profile: what is asked.
        options: every option on which the result depends, defaults filled in.
        out: the folder; ``runs/<model>-<profile>-<digest>`` by default.
        seed: of everything random.
        batch_tokens: the batch plan's budget.
        sources: where each option came from.
        command: the command line, if there was one.
        resume: see ``Run.create``.
        force: derived files may be replaced.

    Raises:
        RunFinished: this request was served before.
        RequestError: the folder holds something else.
    """
    threads = torch.get_num_threads()
    request = Request(
        verb=verb,
        options=dict(options),
        model_fingerprint=model.fingerprint,
        profile_fingerprint=profile.fingerprint,
        seed=seed,
        threads=threads,
        device=model.device.type,
        dtype=str(model.dtype).removeprefix("torch."),
        batch_plan={"batch_tokens": batch_tokens},
        text=_text(model, options),
    )
    path = default_run_path(model.name, profile.name, request) if out is None else Path(out)
    counts = {name: len(profile.prompts_of(name)) for name in (*profile.concepts, profile.control)}
    return Run.create(
        path,
        request,
        resume=resume,
        force=force,
        model=model.describe(),
        profile={
            "name": profile.name,
            "description": profile.description,
            "source": profile.source,
            "fingerprint": profile.fingerprint,
            "language": profile.language,
            "control": profile.control,
            "prompts": counts,
            "readouts": list(profile.readouts),
            "first_prompts": _first_prompts(model, profile, options),
        },
        versions=package_versions(),
        git=git_state(),
        machine=machine(device=str(model.device), threads=threads),
        request_sources=dict(sources or {}),
        command=list(command),
        warnings=[*model.notes, *profile.warnings],
    )


def _text(model: HeadModel, options: Mapping[str, Any]) -> dict[str, Any]:
    """What turns text into tokens, and ends what the model writes, where it writes."""
    tokenizer, chat_template = model.tokenizer, options.get("chat_template", False)
    bos = model.bos_token_id
    text: dict[str, Any] = {
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "bos": "none" if bos is None else shown_token(tokenizer, bos),
    }
    chat = Chat.of(tokenizer, chat_template)
    if chat is not None:
        text["chat_template"] = chat.fingerprint()
    if "max_tokens" in options and options.get("generate", True):
        named, at_eos = options.get("stop_tokens", ()), options.get("stop_at_eos", True)
        ids = stop_ids(model, at_eos=at_eos, chat_template=chat_template, named=named)
        text["stop_tokens"] = [shown_token(tokenizer, token) for token in ids]
    return text


def _first_prompts(model: HeadModel, profile: Profile, options: Mapping[str, Any]) -> dict[str, str]:
    """The first prompt of each class that is asked, as the model gets it: BOS and chat template included."""
    encoder = encoder_of(model, chat_template=options.get("chat_template", False))
    names = chosen_concepts(profile, options.get("concepts", options.get("concept")))
    first = {name: profile.prompts_of(name)[:1] for name in (*names, profile.control)}
    seen: dict[str, str] = {}
    for name, prompts in first.items():
        for prompt in prompts:
            tokens = encoder.encode(prompt.text, name=f"prompt {prompt.id}")
            bos = str(model.tokenizer.convert_ids_to_tokens(tokens.ids[0])) if tokens.n_bos else ""
            seen[name] = bos + tokens.text
    return seen


def keep(run: Run, results: Mapping[str, Result]) -> None:
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
    return table.drop_duplicates("concept", ignore_index=True) if name == "assay" else table

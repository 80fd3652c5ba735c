"""``headscope patch``: what do heads bring, and what do they take?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from headscope.cli import console, results
from headscope.cli.commands import command
from headscope.cli.forecasting import print_forecast
from headscope.cli.job import LOADING, PROMPTS, SAMPLING, TEMPLATE, TEXT, WORKERS, Job, refuse_unused_sampling
from headscope.settings import Patching, Texts, Writing
from headscope.settings.measuring import Patched

if TYPE_CHECKING:
    import pandas as pd

    from headscope.runs.folder import Run

_DIRECTIONS = {"both": ["sufficiency", "necessity"], "sufficiency": ["sufficiency"], "necessity": ["necessity"]}


@command(
    f"model {PROMPTS} concept heads own_outcome each direction what source target alpha alignment n_random {TEMPLATE} "
    f"no_generate {SAMPLING} sentiment {LOADING} {WORKERS} top_n out dry_run json quiet"
)
def patch(job: Job, patched: Patched, patching: Patching, texts: Texts, writing: Writing) -> None:
    """What heads bring to neutral text, and what they take from a concept's: one prompt's output, put into another.

    [bold]Examples[/bold]

    headscope patch --model demo --concept gratitude --out runs/patch

    headscope patch --model gpt2 --heads "1:10,3:2" --concept gratitude --direction sufficiency
    """
    job.check_outputs()
    profile = job.profile()
    alone = bool(patching.each) or patched.heads.strip() == "*"
    refuse_unused_sampling(job.called.context, greedy=writing.greedy)
    if not texts.generate:
        job.refuse(TEXT, "with --no-generate, which writes no text")
        job.refuse_outcomes_of_text("with --no-generate")
    if alone:
        job.refuse(("n_random", *TEXT), "where each head is patched alone, only for a set of heads")
        job.refuse_outcomes_of_text("where each head is patched alone, only for a set of heads")

    from headscope.measure.sampling import Sampling
    from headscope.verbs.patch import PatchRequest, patch

    Sampling(
        writing.max_tokens, writing.temperature, writing.top_p, writing.samples, writing.greedy,
        seed=job.settings.seed,
    )  # fmt: skip
    settled = replace(patching, each=alone, directions=_DIRECTIONS[str(patching.directions)])
    request = PatchRequest(**vars(settled))
    what = request.recipe.what
    if what != "z":
        job.refuse(TEXT, f'where "{what}" is patched, which is in fixed text only')
        job.refuse_outcomes_of_text(f'where "{what}" is patched, which is in fixed text only')
    study = job.study(profile)
    heads, generate = study.model.head_set(patched.heads), texts.generate and not alone
    if job.printed.dry_run:
        from headscope.verbs.forecast_patch import forecast_patch

        text_tokens = writing.max_tokens * writing.samples if texts.generate else 0
        print_forecast(forecast_patch(study, heads, request, text_tokens=text_tokens), json=job.printed.json)
        return
    options = job.options(study, settled, writing, heads=str(heads), what=what, generate=generate)
    run = job.serve(
        "patch",
        study,
        options,
        lambda served: {"patch": patch(served, str(heads), request, writing=writing if generate else None)},
    )
    job.tell(run, {"patching": console.records(run.table("patching"))}, _tables(run, job.printed.top_n))


def _tables(run: Run, top_n: int) -> Iterator[tuple[str, pd.DataFrame, str | Mapping[str, str]]]:
    patching = run.table("patching")
    yield from results.what_it_shows(run)
    yield "Patch − control patch", results.top_patches(patching, top_n), "patching"
    if "texts" in run.tables:
        from headscope.stats.patching import written_patches

        yield "What is written", written_patches(patching), results.written_headings()
    if "dissociation" in run.tables:
        yield "Own heads against other concepts'", run.table("dissociation"), "dissociation"

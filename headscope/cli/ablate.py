"""``headscope ablate``: what changes when these heads are off?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headscope.cli import console, results
from headscope.cli.commands import command
from headscope.cli.forecasting import print_forecast
from headscope.cli.job import (
    LOADING,
    PROMPTS,
    SAMPLING,
    TEMPLATE,
    TEXT,
    WORKERS,
    Job,
    check_edits,
    refuse_unused_sampling,
)
from headscope.errors import RequestError
from headscope.settings import Ablating, Texts, Writing

if TYPE_CHECKING:
    from headscope.profiles.types import Profile


@command(
    f"model heads {PROMPTS.replace('text_column', 'prompts_file text_column')} concept edit own_outcome value_bias "
    f"scope {TEMPLATE} no_generate {SAMPLING} stop_at_eos sentiment keyword_counting {LOADING} {WORKERS} "
    "out dry_run output json quiet"
)
def ablate(job: Job, ablating: Ablating, texts: Texts, writing: Writing) -> None:
    """What changes when these heads are off together: log-odds of the concept, damage, and the text itself.

    [bold]Examples[/bold]

    headscope ablate --model demo --heads 1:2 --concept gratitude --out runs/one_head

    headscope ablate --model gpt2 --head-spec "1:10,3:2" --concept gratitude --edit mean --output two_heads.pkl
    """
    profile = _checked(job, ablating, texts, writing)

    from headscope.measure.sampling import Sampling
    from headscope.runs.phase6 import write_ablation
    from headscope.verbs.ablate import ablate
    from headscope.verbs.ablation_file import ablation_document

    Sampling(
        writing.max_tokens, writing.temperature, writing.top_p, writing.samples, writing.greedy, writing.stop_at_eos,
        writing.scope, job.settings.seed,
    )  # fmt: skip
    study = job.study(profile, ablating.concept)
    heads = study.model.head_set(ablating.heads)
    if job.printed.dry_run:
        from headscope.verbs.forecast import forecast_ablation

        text_tokens = writing.max_tokens * writing.samples if texts.generate else 0
        forecast = forecast_ablation(study, heads, edits=ablating.edits, text_tokens=text_tokens)
        print_forecast(forecast, json=job.printed.json)
        return
    asked: dict[str, Any] = {"edits": ablating.edits, "value_bias": ablating.value_bias}
    options = job.options(study, ablating, texts, writing, heads=str(heads))
    run = job.serve(
        "ablate",
        study,
        options,
        lambda served: {"ablate": ablate(served, str(heads), **asked, writing=writing if texts.generate else None)},
    )
    effects, output = run.table("effects"), job.printed.output
    if output is not None:
        manifest = run.manifest
        tables = {"effects": effects, "texts": run.table("texts")}
        record: Any = manifest.record["ablate"]
        versions, seed = manifest.versions, manifest.request.seed
        write_ablation(output, ablation_document(manifest.model, tables, record, seed=seed, versions=versions))
    own = effects[~effects["outcome"].str.contains(":")]
    job.tell(
        run,
        {"effects": console.records(effects), "output": output and str(output)},
        [
            *results.what_it_shows(run),
            (f"Without {heads}", own, "effects"),
        ],
        f"run: {run.path}",
        *(() if output is None else (f"ablation: {output}",)),
    )


def _checked(job: Job, ablating: Ablating, texts: Texts, writing: Writing) -> Profile:
    """The profile; RequestError where options contradict each other."""
    job.check_outputs(".json", ".pkl")
    if job.printed.output is not None and not texts.generate:
        raise RequestError("--output needs texts, and --no-generate writes none", fix="leave out one of the two")
    refuse_unused_sampling(job.called.context, greedy=writing.greedy)
    if not texts.generate:
        job.refuse(("scope", *TEXT), "with --no-generate, which writes no text")
        job.refuse_outcomes_of_text("with --no-generate")
    concept, file = ablating.concept, job.asked.prompts_file
    if file is not None and concept is None:
        raise RequestError("--prompts-file needs to know whose prompts these are", fix="add --concept NAME")
    more = () if file is None else (f"{concept}={file}",)
    profile = job.profile(*more, concepts=None if concept is None else [concept])
    check_edits(ablating.edits)
    if "zero" not in ablating.edits:
        job.refuse(("value_bias",), "without --edit zero")
    return profile

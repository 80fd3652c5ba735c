"""lm-eval's tasks on a headscope model: its own scores without an edit, and only the edit's difference with one."""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import headscope as hs
from headscope.errors import RequestError, WorkError
from headscope.measure import benchmarks
from headscope.models.head_model import HeadModel
from headscope.models.pretrained import join_activations
from tests.lm_eval_tasks import metric, offline, write_choices, write_task, write_texts

CHECKPOINT = Path(hs.__file__).parent / "models" / "demo"
WORDS = ("river", "garden", "morning", "letter", "window", "market", "silver", "winter")


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return hs.load_model("demo")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three tasks, one of each kind of request; items of unequal length, so that batches are padded."""
    work = tmp_path_factory.mktemp("tasks")
    made = work / "tasks"
    rows = [
        {
            "text": f"She walked to the {word} and " + "then on " * (i % 3),
            "choices": ["smiled at it", "sang"],
            "target": i % 2,
        }
        for i, word in enumerate(WORDS)
    ]
    write_choices(made, "choices", rows, num_fewshot=1, fewshot_split="test")
    said = [{"text": f"The {word} was " + "very " * (i % 3), "target": "old"} for i, word in enumerate(WORDS)]
    write_texts(made, "texts", said)
    read = [{"text": f"The {word} lay in the sun all day.", "target": ""} for word in WORDS]
    write_task(
        made, "rolling", read, output_type="loglikelihood_rolling", doc_to_text="", doc_to_target="{{text}}",
        metric_list=[metric("word_perplexity", aggregation="weighted_perplexity", higher_is_better=False)],
    )  # fmt: skip
    with offline(work / "cache"):
        yield made


def plain_scores(folder: Path, tasks: list[str], *, joined: bool) -> Any:
    """What lm-eval says of the checkpoint, which it loads by itself, in its own call.

    ``joined``: the model's activations computed in one step, which headscope does to every model that it loads.
    """
    with warnings.catch_warnings():  # its imports add filters of their own
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    lm = HFLM(pretrained=str(CHECKPOINT), dtype="float32", device="cpu", batch_size=4)
    if joined:
        join_activations(lm.model)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    return simple_evaluate(lm, tasks=tasks, task_manager=manager, bootstrap_iters=0)


def test_without_an_edit_scores_are_those_of_lm_evals_own_backend(model: HeadModel, folder: Path) -> None:
    plain = plain_scores(folder, ["choices", "texts"], joined=False)
    ours = benchmarks.find_benchmarks("choices,texts", folder).run(hs.eval_model(model, batch_size=4))
    assert ours["results"] == plain["results"]


def test_beside_how_activations_are_computed_every_answer_is_that_of_lm_evals_own_backend_to_the_bit(
    model: HeadModel, folder: Path
) -> None:
    plain = plain_scores(folder, ["choices", "texts", "rolling"], joined=True)
    ours = benchmarks.find_benchmarks("choices,texts,rolling", folder).run(hs.eval_model(model, batch_size=4))
    for key in ("results", "n-shot", "versions", "higher_is_better"):
        assert ours[key] == plain[key], key
    for task, samples in plain["samples"].items():
        for key in ("resps", "prompt_hash", "doc_hash"):
            assert [one[key] for one in samples] == [one[key] for one in ours["samples"][task]], (task, key)


def test_every_kind_of_request_runs_under_the_edit_and_leaves_the_model_as_it_was(
    model: HeadModel, folder: Path
) -> None:
    ids = torch.tensor([[1, 2, 3, 4]])
    before = model.hf(ids).logits
    found = benchmarks.find_benchmarks("choices,texts,rolling", folder)
    none, every = (found.run(hs.eval_model(model, edit))["samples"] for edit in (None, hs.zero("*")))
    for task, samples in none.items():
        assert [sample["resps"] for sample in samples] != [sample["resps"] for sample in every[task]], task
    assert torch.equal(before, model.hf(ids).logits)


def test_bos_is_lm_evals_unless_it_is_asked_for(model: HeadModel) -> None:
    bos = model.tokenizer.bos_token_id
    ids = model.tokenizer("Good morning")["input_ids"]
    assert ids[0] != bos  # this tokenizer adds none of its own
    for asked, begun in (("auto", []), ("never", []), ("always", [bos])):
        lm = hs.eval_model(model, bos=asked)
        assert lm.tok_encode("Good morning") == [*begun, *ids]
        assert lm.tok_batch_encode(["Good morning"])[0].tolist() == [[*begun, *ids]]
        assert lm.tok_encode(" morning", add_special_tokens=False)[0] != bos
    assert model.tokenizer.padding_side == hs.load_model("demo").tokenizer.padding_side
    with pytest.raises(RequestError, match='bos "sometimes" does not exist'):
        hs.eval_model(model, bos="sometimes")
    with pytest.raises(RequestError, match="head"):
        hs.eval_model(model, hs.zero("9:9"))


def test_generators_loggers_and_filters_are_as_before(
    model: HeadModel, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def state() -> tuple[Any, ...]:
        numbers = np.random.get_state()[1].tolist()  # noqa: NPY002
        levels = [logging.getLogger(name).level for name in ("lm_eval", "datasets")]
        return random.getstate(), numbers, torch.random.get_rng_state().tolist(), levels, list(warnings.filters)

    before = state()
    benchmarks.find_benchmarks("texts", folder, limit=2).run(hs.eval_model(model))
    assert state() == before
    assert capfd.readouterr() == ("", "")


def test_what_a_task_is_counts_and_not_where_its_files_lie(folder: Path, tmp_path: Path) -> None:
    here = benchmarks.find_benchmarks("texts", folder).identity["texts"]
    rows = [{"text": f"The {word} was " + "very " * (i % 3), "target": "old"} for i, word in enumerate(WORDS)]
    write_texts(tmp_path / "elsewhere", "texts", rows)
    assert benchmarks.find_benchmarks("texts", tmp_path / "elsewhere").identity["texts"] == here
    write_texts(tmp_path / "other", "texts", [*rows[:-1], {**rows[-1], "target": "new"}])
    other = benchmarks.find_benchmarks("texts", tmp_path / "other").identity["texts"]
    assert other["config_sha256"] == here["config_sha256"]
    assert other["data_sha256"] != here["data_sha256"]
    write_texts(tmp_path / "longer", "texts", rows, n_tokens=4)
    assert (
        benchmarks.find_benchmarks("texts", tmp_path / "longer").identity["texts"]["config_sha256"]
        != (here["config_sha256"])
    )


def test_tasks_that_cannot_be_asked_are_refused_with_what_is_needed(folder: Path, tmp_path: Path) -> None:
    away = tmp_path / "away"
    row = [{"text": "a", "target": "b"}]
    write_texts(away, "gone", row, dataset_kwargs={"data_files": {"test": str(tmp_path / "nowhere.jsonl")}})
    write_texts(away, "hub", row, dataset_path="nobody/no-such-data", dataset_kwargs={})
    write_texts(away, "unsafe", row, unsafe_code=True)
    for name in ("gone", "hub"):
        with pytest.raises(RequestError, match=r"(?s)data of a task cannot be had.*HF_DATASETS_OFFLINE"):
            benchmarks.find_benchmarks(name, away)
    with pytest.raises(RequestError, match="--confirm-unsafe-code"):
        benchmarks.find_benchmarks("unsafe", away)
    assert benchmarks.find_benchmarks("unsafe", away, unsafe_code=True).names == ("unsafe",)
    with pytest.raises(RequestError, match="folder of tasks does not exist"):
        benchmarks.find_benchmarks("texts", tmp_path / "none")
    with pytest.raises(RequestError, match="no task is named"):
        benchmarks.find_benchmarks(" , ", folder)


def test_whole_texts_are_read_after_one_bos_however_texts_begin(model: HeadModel, folder: Path) -> None:
    found = benchmarks.find_benchmarks("rolling", folder, limit=2)
    given = [found.run(hs.eval_model(model, bos=bos))["samples"]["rolling"] for bos in ("auto", "always", "never")]
    first, *others = ([sample["resps"] for sample in samples] for samples in given)
    assert all(other == first for other in others)


def test_a_batch_that_does_not_fit_is_told_with_what_to_change(
    model: HeadModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = hs.eval_model(model, batch_size=4)

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(lm, "_model_call", full)
    with pytest.raises(WorkError, match="--batch-size below 4"):
        benchmarks.find_benchmarks("choices", folder, limit=2).run(lm)

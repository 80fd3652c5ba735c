"""Tasks of lm-evaluation-harness: found and loaded before any work, run on a model, their items read out.

1. The tasks of ``include_path`` are looked at first, alone; lm-eval's own index of some 15,000 names, which takes many
   seconds to build, only where a name is not among them.
2. Loading a task loads its data, so that what cannot be had is known before anything is written.
3. lm-eval sets the seeds of three random number generators and writes to the console; both are as before after a call.

lm-eval's own seeds are kept, because they choose the few-shot examples: scores are those that lm-eval itself gives.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import io
import json
import logging
import random
import warnings
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from headscope.errors import RequestError, WorkError
from headscope.models.head_model import HeadModel

if TYPE_CHECKING:
    from headscope.measure.lm_eval_model import Edit, EditedLM

_LOGGERS = ("lm_eval", "datasets", "huggingface_hub")
_LISTED = 5


@dataclass(frozen=True)
class Benchmarks:
    """Tasks that are there, and how they are asked.

    Attributes:
        names: as asked for: tasks, groups, tags or YAML files.
        manager: lm-eval's, which knows them.
        identity: task -> its version, and SHA-256 of its configuration and of the items that are asked.
        n_fewshot: examples before each item; None for each task's own number.
        limit: only so many items of each task; None for all.
        unsafe_code: tasks that run code the model wrote are allowed.
        chat_template: wrap items in the tokenizer's chat template, or in that of this name.
    """

    names: tuple[str, ...]
    manager: Any
    identity: Mapping[str, Mapping[str, Any]]
    n_fewshot: int | None = None
    limit: int | None = None
    unsafe_code: bool = False
    chat_template: bool | str = False

    def run(self, lm: EditedLM) -> Mapping[str, Any]:
        """What lm-eval gives for ``lm``: aggregated ``results``, ``samples`` by task, ``configs``, ``n-shot``, ...

        As its ``simple_evaluate``, which also asks git and the machine about themselves.

        Raises:
            RequestError: lm-eval refuses the request.
            WorkError: a batch does not fit into memory.
        """
        from lm_eval import evaluator
        from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED

        evaluate: Any = evaluator.evaluate  # a decorator takes its type away
        try:
            with _as_before():
                random.seed(DEFAULT_RANDOM_SEED)
                np.random.seed(DEFAULT_OTHER_SEED)  # noqa: NPY002 - the generator that its tasks draw from
                torch.manual_seed(DEFAULT_OTHER_SEED)
                # Anew for each arm, because the few-shot examples of a task go on where they stood.
                loaded = self.manager.load(list(self.names))
                for task in loaded["tasks"].values():
                    own = task.get_config("num_fewshot")
                    if own is None or (own != 0 and self.n_fewshot is not None):
                        task.set_config(key="num_fewshot", value=self.n_fewshot or 0)
                    task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
                return evaluate(
                    lm=lm,
                    task_dict=loaded,
                    limit=self.limit,
                    bootstrap_iters=0,
                    log_samples=True,
                    apply_chat_template=self.chat_template,
                    fewshot_as_multiturn=True,
                    confirm_run_unsafe_code=self.unsafe_code,
                )
        except torch.OutOfMemoryError as error:
            raise WorkError(
                "memory ran out", got=_first_line(error), fix=f"a --batch-size below {lm.batch_size}"
            ) from error
        except (ValueError, AssertionError) as error:
            # With these it says what cannot be asked: too few examples, no room for what is to be written.
            raise RequestError("lm-eval refuses the request", got=_first_line(error)) from error


def require_lm_eval() -> str:
    """The version of lm-eval; RequestError where it is not installed."""
    try:
        with warnings.catch_warnings():  # its imports add filters of their own
            importlib.import_module("lm_eval.models.huggingface")
            known = importlib.import_module("lm_eval.tasks").TaskManager
            version = metadata.version("lm_eval")
    except (ImportError, metadata.PackageNotFoundError) as error:
        raise RequestError(
            "lm-eval is not installed", got=_first_line(error), fix='pip install "headscope[eval]"'
        ) from error
    if not hasattr(known, "load"):
        raise RequestError("lm-eval is too old", expected="0.4.13 or newer", got=version, fix="pip install -U lm-eval")
    return version


def eval_model(
    model: HeadModel, edit: Edit | Sequence[Edit] | None = None, *, batch_size: int = 8, bos: str = "auto"
) -> EditedLM:
    """lm-eval's ``LM`` object of a model, for ``lm_eval.simple_evaluate`` or a harness of your own.

    Args:
        model: the model; the edit is entered around each request and left after it.
        edit: what ``model.edit`` takes, or several of it; None for the model as it is.
        batch_size: requests of one pass.
        bos: ``auto`` begins texts as lm-eval does (scores are then those of its own backend); ``always``, ``never``.

    Raises:
        RequestError: lm-eval is not installed, or there is no such ``bos``.
    """
    require_lm_eval()
    from headscope.measure.lm_eval_model import EditedLM

    edits: Sequence[Any] = () if edit is None else edit if isinstance(edit, Sequence) else (edit,)
    with _quietly():
        return EditedLM(model, edits, batch_size=batch_size, bos=bos)


def find_benchmarks(
    tasks: str,
    include_path: Path | None = None,
    *,
    n_fewshot: int | None = None,
    limit: int | None = None,
    unsafe_code: bool = False,
) -> Benchmarks:
    """Load tasks with their data; nothing is run and nothing is written beside the data sets' own cache.

    ``tasks``: names joined by commas.

    Raises:
        RequestError: lm-eval is not installed, a task is not known, cannot be read or needs what was not allowed, or
            its data are not here and cannot be fetched.
    """
    require_lm_eval()
    names = list(dict.fromkeys(filter(None, map(str.strip, tasks.split(",")))))
    if not names:
        raise RequestError("no task is named", expected="names joined by commas", got=repr(tasks))
    with _as_before():
        manager = _manager(names, include_path)
        loaded = _loaded(names, manager)
        for name, task in loaded.items():
            _check(name, task, unsafe_code=unsafe_code)
        identity = {name: _identity(task, n_fewshot, limit) for name, task in sorted(loaded.items())}
    return Benchmarks(tuple(names), manager, identity, n_fewshot, limit, unsafe_code)


def _manager(names: Sequence[str], include_path: Path | None) -> Any:
    from lm_eval.tasks import TaskManager

    if include_path is not None:
        if not include_path.is_dir():
            raise RequestError("the folder of tasks does not exist", expected="a folder with YAML files of lm-eval's",
                               got=str(include_path), fix="correct --include-path")  # fmt: skip
        own = TaskManager(include_path=str(include_path), include_defaults=False)
        if set(names) <= set(own.all_subtasks):
            return own
    manager = TaskManager(include_path=None if include_path is None else str(include_path))
    for name in names:
        if name not in manager.all_tasks and not Path(name).is_file():
            near = difflib.get_close_matches(name, manager.all_tasks, n=_LISTED, cutoff=0.5)
            raise RequestError(
                f'task "{name}" does not exist',
                expected=f"a task, group or tag that lm-eval knows; near to it: {', '.join(near) or 'none'}",
                got=name,
                fix="correct the name, or name the folder of your own tasks with --include-path",
            )
    return manager


def _loaded(names: Sequence[str], manager: Any) -> dict[str, Any]:
    try:
        loaded: Any = manager.load(list(names))
        for task in loaded["tasks"].values():
            _ = len(task.eval_docs)  # read here, so that data that cannot be had are known now
    except OSError as error:  # offline, a hub that does not answer, a data set or file that is not there
        raise RequestError(
            "the data of a task cannot be had",
            expected="data in a local file, in the cache of the package datasets, or a network to fetch them over",
            got=_first_line(error),
            where=", ".join(names),
            fix="run it once where there is a network and copy the cache (HF_HOME); with HF_DATASETS_OFFLINE=1 the "
            "cache alone is asked",
        ) from error
    except (LookupError, TypeError, ValueError, RuntimeError, ImportError, AssertionError) as error:
        raise RequestError(
            "a task cannot be loaded",
            expected="a task that this lm-eval can load, with its data",
            got=_first_line(error),
            where=", ".join(names),
        ) from error
    return loaded["tasks"]


def _check(name: str, task: Any, *, unsafe_code: bool) -> None:
    if getattr(task, "UNSAFE_CODE", False) and not unsafe_code:
        raise RequestError(
            f'task "{name}" runs code that the model wrote, on this machine', expected="a task without it",
            fix="read what it does; then allow it with --confirm-unsafe-code",
        )  # fmt: skip
    if getattr(task, "MULTIMODAL", False):
        raise RequestError(f'task "{name}" shows pictures or sound', expected="a task of text alone", got=name)


def _identity(task: Any, n_fewshot: int | None, limit: int | None) -> dict[str, Any]:
    """What a task's scores depend on; where its files lie is none of it."""
    content: dict[str, Any] = dict(task.dump_config())
    own: dict[str, Any] = dict(content.get("metadata") or {})
    own.pop("config_source", None)
    data: dict[str, Any] = dict(content.get("dataset_kwargs") or {})
    data.pop("data_files", None)
    content |= {"metadata": own, "dataset_kwargs": data}
    items = [dict(doc) for _, doc in task.doc_iterator(rank=0, limit=limit, world_size=1)]
    if n_fewshot or content.get("num_fewshot"):
        items += [dict(doc) for doc in task.fewshot_docs() or ()]
    return {"version": str(task.VERSION), "config_sha256": _sha256(content), "data_sha256": _sha256(items)}


def _sha256(content: object) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@contextlib.contextmanager
def _as_before() -> Generator[None]:
    """Quiet inside, and afterwards every random number generator as it was."""
    own, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002 - lm-eval seeds numpy's global one
    try:
        with torch.random.fork_rng(), _quietly():
            yield
    finally:
        random.setstate(own)
        np.random.set_state(numbers)  # noqa: NPY002


@contextlib.contextmanager
def _quietly() -> Generator[None]:
    """Inside the block lm-eval and what it loads data with say nothing but errors."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0][:300]}"

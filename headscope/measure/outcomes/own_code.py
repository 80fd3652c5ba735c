"""An outcome of the user's own code, named as ``FILE.py:NAME`` or ``MODULE:NAME``.

1. The file, or the module, is imported because it was named, and nothing else is. Its folder (for a module the current
   one) is put at the end of Python's path, where worker processes look, too.
2. ``NAME`` is an outcome registered there, or a function: of texts and their prompts where nothing more is said.
3. The outcome's fingerprint is of the function *and* of the whole file, so that a changed list of words in it is
   another request. What the file imports is not part of it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from headscope.errors import HeadscopeError, RequestError
from headscope.measure.fingerprints import source_fingerprint
from headscope.measure.outcomes.outcome import REGISTERED, FloatArray, Outcome, outcome
from headscope.models.others_errors import first_line
from headscope.profiles.files import expanded

_FORM = re.compile(r"(?P<code>.+):(?P<name>[A-Za-z_]\w*)")


def outcome_of_code(asked: str, forms: str) -> Outcome:
    """The outcome that ``asked`` names; ``forms``: what may be asked for, for the message.

    Raises:
        RequestError: it is malformed, there is no such file, module or name, the code raises, or what it names is no
            outcome.
    """
    form = _FORM.fullmatch(asked)
    if form is None:
        raise RequestError("an outcome is malformed", expected=forms, got=asked)
    code, name = form["code"], form["name"]
    module = _of_file(expanded(code)) if code.endswith(".py") else _of_module(code)
    one = _named(module, name, asked)
    source = inspect.getsourcefile(module)
    whole = b"" if source is None else Path(source).read_bytes()
    # Of the function itself, not of what it was registered with: that may be this fingerprint already.
    function = source_fingerprint(f"outcome {one.name}", one.value)
    both = hashlib.sha256(f"{function} {hashlib.sha256(whole).hexdigest()}".encode()).hexdigest()
    return replace(one, rests_on=both)


def raised(problem: str, error: BaseException, file: str | None) -> RequestError:
    """What to say of an error of the user's own code, with the line of ``file`` that raised it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    where = file if line is None else f"{file}, line {line}"
    return RequestError(problem, got=first_line(error), where=where, fix="mend it there, or leave the outcome out")


def scores_of_texts(one: Outcome, texts: Sequence[str], prompts: Sequence[str]) -> FloatArray:
    """[n] the value of each text, of an outcome of one's own; NaN where a text has none.

    Raises:
        RequestError: the function raises, gives anything but one number for each text, or an infinite one.
    """
    try:
        values = one.of_texts(texts, prompts)
    except HeadscopeError:
        raise
    except Exception as error:  # whatever the user's code raises is said with its line
        file = getattr(getattr(one.value, "__code__", None), "co_filename", None)
        raise raised(f'outcome "{one.name}" fails', error, file) from error
    if np.isinf(values).any():
        text = texts[int(np.argmax(np.isinf(values)))]
        raise RequestError(
            f'outcome "{one.name}" gives an infinite value', expected="a finite number, or NaN where a text has none",
            got=f"{values[np.isinf(values)][0]} for the text {text[:60]!r}",
        )  # fmt: skip
    return values


# --- the module ------------------------------------------------------------------------------------------------------


def _of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise RequestError(
            f'there is no file "{path}"', expected="a Python file that holds the outcome", where=str(Path.cwd())
        )
    name, file = path.stem, path.resolve()
    if not name.isidentifier():
        raise RequestError(
            f'the file "{path.name}" cannot be imported', expected="a name of letters, digits and _", got=name,
            fix="rename it",
        )  # fmt: skip
    _look_in(file.parent)
    before = sys.modules.get(name)
    found = importlib.util.find_spec(name) if before is None else before.__spec__
    if found is None or found.origin is None or Path(found.origin).resolve() != file:
        elsewhere = "another module" if found is None or found.origin is None else found.origin
        raise RequestError(
            f'the file "{path}" has the name of another module', expected="a name that no other module has",
            got=elsewhere, fix="rename the file, e.g. my_outcomes.py",
        )  # fmt: skip
    return _imported(name, str(file), before)


def _of_module(name: str) -> ModuleType:
    _look_in(Path.cwd())
    return _imported(name, None, None)


def _look_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    importlib.invalidate_caches()


def _imported(name: str, file: str | None, before: ModuleType | None) -> ModuleType:
    """The module ``name``; one that was imported ``before`` is run again, because its file may have changed.

    What it held and registered before is forgotten: a function may be another now, or gone.
    """
    if before is not None:
        del sys.modules[name]
        for registered in [one.name for one in REGISTERED.values() if _is_of(one, before)]:
            del REGISTERED[registered]
    writes_bytecode, sys.dont_write_bytecode = not sys.dont_write_bytecode, True  # nothing is written beside the file
    try:
        return importlib.import_module(name)
    except HeadscopeError:  # of the decorator, whose own words say it best
        raise
    except ModuleNotFoundError as error:
        if file is None and error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise RequestError(
                f'there is no module "{name}"',
                expected="a Python file in the current folder, or a module that is installed",
                where=str(Path.cwd()),
                fix="name the file: FILE.py:NAME",
            ) from error
        raise raised(f'the code of "{name}" raises', error, file) from error
    except Exception as error:  # whatever the user's code raises is said with its line
        raise raised(f'the code of "{name}" raises', error, file) from error
    finally:
        sys.dont_write_bytecode = not writes_bytecode


# --- the name in it --------------------------------------------------------------------------------------------------


def _named(module: ModuleType, name: str, asked: str) -> Outcome:
    found: Any = getattr(module, name, None)
    mine = {one.name: one for one in REGISTERED.values() if _is_of(one, module)}
    for one in mine.values():
        if one.value is found:
            return one
    if name in mine:
        return mine[name]
    if isinstance(found, FunctionType):
        return _of_function(found, name, asked)
    functions = [each for each, value in vars(module).items() if isinstance(value, FunctionType)]
    offered = [each for each in functions if getattr(module, each).__module__ == module.__name__ and each[0] != "_"]
    raise RequestError(
        f'"{asked}" names no outcome',
        expected=", ".join(dict.fromkeys([*mine, *offered])) or "a function in it",
        got="nothing of that name" if found is None else type(found).__name__,
        where=inspect.getsourcefile(module) or module.__name__,
    )


def _is_of(one: Outcome, module: ModuleType) -> bool:
    return getattr(one.value, "__module__", "") == module.__name__


def _of_function(function: FunctionType, name: str, asked: str) -> Outcome:
    """A function without the decorator, as an outcome of text."""
    parameters = list(inspect.signature(function).parameters)
    try:
        inspect.signature(function).bind([], [])
    except TypeError:
        fits = False
    else:
        fits = "logits" not in parameters
    if not fits:
        raise RequestError(
            f'"{asked}" is no function of texts',
            expected=f"def {name}(texts, prompts), which gives a number for each text",
            got=f"def {name}({', '.join(parameters)})",
            where=function.__code__.co_filename,
            fix="a function of logits stands under @headscope.outcome(name, unit=...), which says its unit",
        )
    outcome(name, unit="", read_at="text")(function)
    return REGISTERED[name]

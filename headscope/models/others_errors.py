"""What other people's code raises while a model is loaded, and the sentence a user can act on instead.

The kinds are listed: an error of another kind is a fault of headscope's and is not caught. The cause is looked for in
the error and in what it was raised from: a package that is not installed, code that is not allowed to run, a model type
that this transformers does not know, a value in the configuration that cannot be. Only where none of these is found may
the files themselves be at fault.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Generator
from contextlib import contextmanager

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from headscope.errors import ModelError

OTHERS_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    SafetensorError,
    StrictDataclassError,
    pickle.UnpicklingError,
)

# Packages that the libraries name in prose where they miss one, without a command to install it.
_PACKAGES = ("sentencepiece", "tiktoken", "protobuf", "fugashi", "mistral-common", "bitsandbytes")
_INSTALL = re.compile(
    r"pip install\s+(?:-U\s+|--upgrade\s+)?[\"']?([A-Za-z][\w.\-]*(?:\[\w+\])?(?:[<>=!~]=?[\d.]+\d)?)"
)
_MISSING = re.compile(r"(?:no module named|requires|need to (?:install|have)|not installed)", re.IGNORECASE)
VALUE_FIX = (
    "its config.json holds a value that this transformers does not take: use the config.json that came with these "
    'weights, or update transformers (pip install -U "transformers<6")'
)
_FILES = "download or copy the checkpoint again, and see that all its files are of one piece"


def refusal(problem: str, error: BaseException, *, where: str, fix: str = _FILES) -> ModelError:
    """What to say in place of ``error``: ``problem``, its first line, and the cure of its cause, or ``fix``."""
    return ModelError(problem, got=first_line(error), where=where, fix=_cure(error) or fix)


def first_line(error: BaseException) -> str:
    """Kind and first line of an error, short."""
    text = re.sub(r"\s+", " ", str(error)).strip() or "no message"
    return f"{type(error).__name__}: {text[:300]}"


@contextmanager
def naming_plain_errors() -> Generator[None]:
    """Turn an error of no kind (class ``Exception``, as tokenizers raises) into a ValueError inside the block."""
    try:
        yield
    except Exception as error:
        if type(error) is Exception:
            raise ValueError(str(error)) from error
        raise


def _cure(error: BaseException) -> str | None:
    chain = [error]
    while (below := chain[-1].__cause__ or chain[-1].__context__) is not None and below not in chain:
        chain.append(below)
    for one in chain:
        cure = _setting(one) or _package(one)
        if cure is not None:
            return cure
    return None


def _package(error: BaseException) -> str | None:
    """The package to install, where the error misses one."""
    text = str(error)
    if not (isinstance(error, ImportError) or _MISSING.search(text)):
        return None
    named = _INSTALL.search(text)
    known = [name for name in _PACKAGES if name.replace("-", "") in re.sub(r"[-_ ]", "", text.lower())]
    module = getattr(error, "name", None)
    package = named[1] if named else known[0] if known else module
    if package is None:
        return None
    return f'the files are whole, a package is missing here: pip install "{package}"'


def _setting(error: BaseException) -> str | None:
    """What to change, where a setting is at fault and not a file."""
    text = str(error)
    if "trust_remote_code" in text:
        return "it brings its own code: read it; then allow it with --trust-remote-code"
    if "does not recognize this architecture" in text or "Unrecognized model" in text:
        return (
            'a newer transformers may know this model (pip install -U "transformers<6"); else "model_type" in its '
            "config.json is wrong"
        )
    if "FlashAttention" in text:
        return 'take "attn_implementation" out of its config.json, or install what it names (pip install flash-attn)'
    if isinstance(error, StrictDataclassError):
        return VALUE_FIX
    if "Padding_idx must be within num_embeddings" in text:
        return '"pad_token_id" in its config.json is beyond its vocabulary: set it to null, or resize the embeddings'
    return None

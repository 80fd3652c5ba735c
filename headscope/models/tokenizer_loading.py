"""A checkpoint's tokenizer, or another one by name, and whether the model has an embedding for what it gives."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from headscope.errors import ModelError
from headscope.models.checkpoints import DEMO, Checkpoint, existing_folder, hub_name, opened_gguf, refuse_pointers
from headscope.models.gguf_file import GgufFile, gguf_at
from headscope.models.gguf_loading import read_once, refuse_without_tokenizer
from headscope.models.hub import TOKENIZER_FILES, hub_folder
from headscope.models.interface import quiet_transformers
from headscope.models.others_errors import OTHERS_ERRORS, naming_plain_errors, refusal

_PATTERNS = (
    *("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model"),
    "*.tiktoken",
)


def named_tokenizer(name: str, *, trust_remote_code: bool) -> Any:
    """The tokenizer of ``demo``, of a folder, a GGUF file, or a hub model (``NAME`` or ``NAME@REVISION``).

    Raises:
        ModelError: there is none, or it cannot be loaded.
    """
    file = gguf_at(name)
    if file is not None:
        return _of_gguf(name, opened_gguf(name, file))
    folder = DEMO if name == "demo" else existing_folder(name)
    if folder is None:
        folder = hub_folder(hub_name(name), tokenizer_only=True)
    return _load(name, folder, trust_remote_code=trust_remote_code)


def tokenizer_of(checkpoint: Checkpoint, *, trust_remote_code: bool) -> Any:
    """The checkpoint's own tokenizer: that of its adapter where the adapter brings one, else that beside the weights.

    Raises:
        ModelError: there is none, or it cannot be loaded.
    """
    own = checkpoint.adapter
    if own is not None and any((own / file).is_file() for file in TOKENIZER_FILES):
        return _load(checkpoint.name, own, trust_remote_code=trust_remote_code)
    if checkpoint.gguf is not None:
        return _of_gguf(checkpoint.name, checkpoint.gguf)
    return _load(checkpoint.name, checkpoint.path, trust_remote_code=trust_remote_code)


def _of_gguf(name: str, header: GgufFile) -> Any:
    """The tokenizer in a GGUF file, with its chat template; nothing that lies beside the file has a part in it."""
    refuse_without_tokenizer(name, header)
    file = header.path.absolute()
    try:
        with naming_plain_errors(), quiet_transformers(), read_once(), tempfile.TemporaryDirectory() as empty:
            loaded: Any = AutoTokenizer.from_pretrained(empty, gguf_file=str(file), local_files_only=True)
    except OTHERS_ERRORS as error:
        problem = f'no tokenizer can be loaded from the GGUF file "{name}"'
        fix = "name the model's tokenizer: --tokenizer NAME_OR_FOLDER"
        raise refusal(problem, error, where=str(file), fix=fix) from error
    loaded.name_or_path = str(file)
    return loaded


def _load(name: str, folder: Path, *, trust_remote_code: bool) -> Any:
    refuse_pointers(name, sorted({path for pattern in _PATTERNS for path in folder.glob(pattern)}))
    problem = f'no tokenizer can be loaded for "{name}"'
    fix = "put the tokenizer's files there, or name another one: --tokenizer NAME_OR_FOLDER"
    try:
        with naming_plain_errors():
            loaded: Any = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=trust_remote_code, local_files_only=True
            )
    except OTHERS_ERRORS as error:
        raise refusal(problem, error, where=str(folder), fix=fix) from error
    # Where its files are missing, some families get a tokenizer that knows its special tokens and no word.
    if not set(loaded.get_vocab()) - set(loaded.get_added_vocab()) - set(loaded.all_special_tokens):
        raise ModelError(
            problem,
            expected="tokenizer.json, or the vocabulary files its tokenizer_config.json names",
            got=f"{type(loaded).__name__} without a vocabulary",
            where=str(folder),
            fix=fix,
        )
    return loaded


def tokens_beyond(name: str, tokenizer: Any, n_rows: int, bos_token_id: int | None) -> dict[int, str]:
    """Tokens for which the model has no embedding, by id: added ones that a text may do without.

    Raises:
        ModelError: among them is the one that begins every text, or a word of the vocabulary.
    """
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        return {}
    known: Any = tokenizer
    added: dict[str, int] = known.get_added_vocab()
    vocabulary: dict[str, int] = {**known.get_vocab(), **added}
    beyond = {index: token for token, index in vocabulary.items() if index >= n_rows}
    words = [token for _, token in sorted(beyond.items()) if token not in added]
    if words:
        raise ModelError(
            f'the tokenizer of "{name}" has more words than the model has embeddings',
            expected=f"token ids below {n_rows}",
            got=f"{len(words)} above, such as {words[0]!r}",
            fix="the tokenizer belongs to another model: name the right one (--tokenizer NAME_OR_FOLDER)",
        )
    if bos_token_id is not None and bos_token_id >= n_rows:
        raise ModelError(
            f'the token that begins every text of "{name}" has no embedding in the model',
            expected=f"a token id below {n_rows}",
            got=f"{beyond.get(bos_token_id, 'BOS')} = {bos_token_id}",
            fix="begin texts without it (--bos never), or name the right tokenizer (--tokenizer NAME_OR_FOLDER)",
        )
    return beyond


def note_on(beyond: dict[int, str], n_rows: int) -> list[str]:
    """A sentence on tokens without an embedding; none where there are none."""
    if not beyond:
        return []
    some = ", ".join(f"{token} = {index}" for index, token in sorted(beyond.items())[:3])
    return [
        f"{len(beyond)} added tokens of the tokenizer have no embedding in the model ({some}; it has {n_rows}): "
        "a text that holds one is refused"
    ]

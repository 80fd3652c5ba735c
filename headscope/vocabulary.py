"""What a tokenizer knows: its fingerprint, special tokens, single tokens named by their text, where tokens stand."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from headscope.errors import RequestError


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """SHA-256, in hexadecimal, of everything that turns text into ids and back: two tokenizers alike in it do the same.

    Of a fast tokenizer its backend, padding and truncation left out, which are set by each call; of a slow one its
    class, vocabulary, merges or sentencepiece model, and its settings that are truth values or numbers.
    """
    if getattr(tokenizer, "is_fast", False):
        content: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
        content |= {"padding": None, "truncation": None}
    else:
        settings = getattr(tokenizer, "init_kwargs", {})
        pieces = getattr(tokenizer, "sp_model", None)
        content = {
            "class": type(tokenizer).__name__,
            "vocabulary": tokenizer.get_vocab(),
            "merges": [" ".join(pair) for pair in getattr(tokenizer, "bpe_ranks", ())],
            "pieces": None if pieces is None else hashlib.sha256(pieces.serialized_model_proto()).hexdigest(),
            "settings": {name: value for name, value in settings.items() if isinstance(value, bool | int | float)},
        }
    content["special"] = sorted(special_tokens(tokenizer).items())
    content["splits_special"] = bool(getattr(tokenizer, "split_special_tokens", False))
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def special_tokens(tokenizer: Any) -> dict[int, str]:
    """Id -> text of every special token, named (BOS, EOS, ...) or added."""
    named = zip(getattr(tokenizer, "all_special_ids", ()), getattr(tokenizer, "all_special_tokens", ()), strict=False)
    added = getattr(tokenizer, "added_tokens_decoder", {}).items()
    found = {int(token): str(text) for token, text in named if token is not None}
    return found | {int(token): str(one.content) for token, one in added if one.special}


def typed_special_tokens(tokenizer: Any, text: str) -> tuple[str, ...]:
    """The special tokens that are written out in ``text`` and that the tokenizer reads as such."""
    written = {token: one for token, one in special_tokens(tokenizer).items() if one and one in text}
    if not written:
        return ()
    ids = set(tokenizer(text, add_special_tokens=False)["input_ids"])
    return tuple(dict.fromkeys(one for token, one in sorted(written.items()) if token in ids))


def shown_token(tokenizer: Any, token: int) -> str:
    """A token for people: what stands for it in the vocabulary, and its id."""
    return f"{tokenizer.convert_ids_to_tokens(token)} ({token})"


def token_text(tokenizer: Any, token: int) -> str | None:
    """The text that a token adds to the text before it, its space included; None where there is no such token.

    After a letter, because some tokenizers leave out the space of a token that begins a text.
    """
    if not 0 <= token < len(tokenizer):
        return None
    before = tokenizer("a", add_special_tokens=False)["input_ids"]
    text, whole = (tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in (before, [*before, token]))
    return whole[len(text) :] if whole.startswith(text) else None


def one_token(tokenizer: Any, text: str) -> int:
    r"""The id of the one token that ``text`` is, as a piece of the vocabulary (``</s>``) or as text (``\n``).

    Raises:
        RequestError: it is none, or several.
    """
    known = tokenizer.get_vocab().get(text)
    if known is not None:
        return int(known)
    # After a letter, so that no visible space is put before it.
    before, after = (tokenizer(start, add_special_tokens=False)["input_ids"] for start in ("a", "a" + text))
    ids = (
        after[len(before) :]
        if after[: len(before)] == before
        else tokenizer(text, add_special_tokens=False)["input_ids"]
    )
    if len(ids) != 1 or ids[0] == getattr(tokenizer, "unk_token_id", None):
        raise RequestError(
            f"stop token {text!r} is not one token of this tokenizer",
            expected="a token of its vocabulary, such as its end of a turn",
            got=", ".join(map(str, tokenizer.convert_ids_to_tokens(ids))) or "no token",
            fix="name a token: its text as the chat template or tokenizer_config.json writes it",
        )
    return int(ids[0])


def encode_with_offsets(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """The ids of ``text``, without special tokens of the tokenizer's own, and start and end character of each.

    Where a tokenizer knows no offsets, they come from decoding ever longer beginnings.
    """
    if tokenizer.is_fast:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return list(encoded["input_ids"]), [(int(first), int(last)) for first, last in encoded["offset_mapping"]]
    ids: list[int] = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    ends = [_decoded_length(tokenizer, ids[: count + 1], text) for count in range(len(ids))]
    return ids, list(zip([0, *ends[:-1]], ends, strict=True))


def _decoded_length(tokenizer: Any, ids: list[int], text: str) -> int:
    """How many characters of ``text`` the first ``ids`` spell; an unfinished character belongs to its last byte."""
    decoded: str = tokenizer.decode(ids, clean_up_tokenization_spaces=False).rstrip("\N{REPLACEMENT CHARACTER}")
    lead = len(text) - len(text.lstrip())
    return len(decoded) if text.startswith(decoded) else min(len(text), lead + len(decoded.lstrip()))

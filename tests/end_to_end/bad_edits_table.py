"""Wrong requests for an edit to hand over: what is typed, what lies in the folder, words of the message."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

VALUES = torch.ones(1, 32)


def npy(array: object) -> bytes:
    """An array as a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array))
    return buffer.getvalue()


def edit_file(values: dict[str, torch.Tensor] | None = None, **changes: Any) -> bytes:
    """A file of an edit of the bundled model, its facts changed."""
    facts: dict[str, Any] = {
        "format": "headscope edit", "format_version": 1, "headscope": "0.1.0", "heads": ["0:0"], "kind": "mean",
        "factor": 1.0, "value_bias": "zero", "scope": "all", "model": {"name": "demo", "fingerprint": "f"}, "about": {},
    }  # fmt: skip
    tensors = {"0:0": VALUES[0]} if values is None else values
    return save(tensors, {"headscope_edit": json.dumps(facts | changes)})


ADD = "edits save --model demo --heads 0:0 --edit add --out e.safetensors"
# content of the file of an edit, words of the message
EDIT_FILES: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "empty": (b"", ("damaged, or no safetensors file",)),
    "text": (b"heads: 1:10\n", ("damaged, or no safetensors file",)),
    "truncated": (edit_file()[:-9], ("damaged, or no safetensors file",)),
    "of weights": (save({"a": VALUES}), ("holds tensors, but no edit",)),
    "of a newer headscope": (edit_file(format_version=2), ("newer headscope", "format 2", "update headscope")),
    "of no version": (edit_file(format_version="1"), ("format_version is '1'",)),
    "of facts that are no JSON": (save({"0:0": VALUES[0]}, {"headscope_edit": "{"}), ("no JSON",)),
    "of deep facts": (save({"0:0": VALUES[0]}, {"headscope_edit": "[" * 50_000}), ("no JSON",)),
    "of a list": (save({"0:0": VALUES[0]}, {"headscope_edit": "[]"}), ("no JSON object",)),
    "of some positions": (edit_file(scope="generated"), ("scope is 'generated'",)),
    "of no heads": (edit_file(heads=[]), ("heads is no list",)),
    "of a text for heads": (edit_file(heads="0:0"), ("heads is no list",)),
    "of a head twice": (edit_file(heads=["0:0", "0:0"]), ("stands twice",)),
    "of other kinds": (edit_file(kind="resample"), ("kind is 'resample'",)),
    "of a kind that is a list": (edit_file(kind=[]), ("kind is []",)),
    "of a factor that is none": (edit_file(kind="scale", values={}, factor=float("nan")), ("factor is nan",)),
    "of a huge factor": (edit_file(kind="scale", values={}, factor=10**400), ("factor is 1",)),
    "of another value bias": (edit_file(value_bias="half"), ("value_bias is 'half'",)),
    "of no model": (edit_file(model={"name": "demo"}), ("does not name its model",)),
    "without about": (edit_file(about=None), ("about is no object",)),
    "of other heads' values": (edit_file({"0:1": VALUES[0]}), ("its values are of 0:1",)),
    "of values for zero": (edit_file(kind="zero"), ("its values are of 0:0",)),
    "of a matrix for a head": (edit_file({"0:0": VALUES}), ("no vector of floats",)),
}
# content of the file of values, words of the message
VALUE_FILES: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "empty": ("v.npy", b"", ("file of values cannot be read",)),
    "truncated": ("v.npy", npy(VALUES)[:-5], ("file of values cannot be read",)),
    "text": ("v.npy", b"1 2 3\n", ("file of values cannot be read",)),
    "an object": ("v.npy", npy([{"a": 1}]), ("file of values cannot be read",)),
    "words": ("v.npy", npy(["a", "b"]), ("file of values cannot be read", "no array of numbers")),
    "cut safetensors": ("v.safetensors", save({"a": VALUES})[:-5], ("file of values cannot be read",)),
    "no tensor": ("v.safetensors", save({}), ("holds something else", "nothing")),
    "two matrices": ("v.safetensors", save({"a": VALUES, "b": VALUES + 1}), ("holds something else", "a (1, 32)")),
    "whole numbers": ("v.safetensors", save({"a": VALUES.int()}), ("holds something else", "int32")),
    "a vector": ("v.npy", npy(VALUES[0]), ("holds something else", "(32,)")),
    "another ending": ("v.csv", b"1,2\n", ("ending that names no known format", "v.csv")),
    # what only the model can tell
    "of another width": ("v.npy", npy(VALUES[:, :8]), ("head 0:0 has the wrong shape", "(32,)", "(8,)")),
    "of two heads": ("v.npy", npy(np.ones((2, 32))), ("do not fit the set of heads", "[1, d]")),
    "of another head": ("v.safetensors", save({"1:1": VALUES[0]}), ("do not name the heads", "1:1")),
    "of zero length": ("v.npy", npy(VALUES * 0), ("zero length", "leave the head out")),
    "of NaN": ("v.npy", npy(VALUES * np.nan), ("head 0:0 is not finite",)),
}

OPTIONS: list[tuple[str, tuple[str, ...]]] = [
    ("edits save --model demo --out e.safetensors", ("no edit is asked for", "--heads", "--edit")),
    ("edits save --model demo --heads 0:0 --edit zero", ("Missing option '--out'",)),
    ("edits save --model demo --heads 0:0 --edit zero --out e.json", ("ending", ".safetensors")),
    ("edits save --model demo --heads 9:0 --edit zero --out e.safetensors", ("9:0 does not exist",)),
    ("edits show gone.safetensors", ("no such file", "gone.safetensors")),
    ("edits frobnicate", ("No such command 'frobnicate'",)),
    *(
        (f"{verb} --model demo --heads 0:0 {asked}", words)
        for verb in ("edits save --out e.safetensors", "export --out e")
        for asked, words in {
            "": ("no edit is asked for", "--edit"),
            "--edit median": ('edit "median" does not exist', "zero, scale"),
            "--edit resample": ("not one vector a head", "headscope ablate"),
            "--edit position_mean": ("not one vector a head",),
            "--edit scale": ("a factor belongs to the edit scale", "without one"),
            "--edit zero --factor 2": ("a factor belongs to the edit scale", "zero with 2"),
            "--edit scale --factor nan": ("not a finite number", "nan"),
            "--edit scale --factor inf": ("not a finite number", "inf"),
            "--edit scale --factor much": ("'--factor'", "valid number"),
            "--edit add": ('"add" needs values',),
            "--edit replace": ('"replace" needs values',),
            "--edit add --values gone.npy": ("no such file of values", "gone.npy"),
            "--edit zero --values gone.npy": ('"zero" has no use for values',),
            "--edit zero --profile ioi": ("--profile is not used where no mean",),
            "--edit mean --profile nowhere": ('"nowhere" does not exist',),
        }.items()
    ),
    ("export --model demo --out e", ("no edit is asked for",)),
    ("export --model demo --out e --heads 0:0 --edit zero --any-model", ("--any-model is not used",)),
    ("export --model demo --out e --edit-file gone.safetensors", ("no such file", "gone.safetensors")),
    ("export --model demo --out e --edit-file g.safetensors --heads 0:0", ("--heads is not used with --edit-file",)),
    ("export --model demo --out /dev/null --heads 0:0 --edit zero", ("a file", "/dev/null")),
    ("export --model demo --heads 0:9 --edit zero --out new/e", ("0:9 does not exist",)),
    ("export --model demo --heads 0:0,0:0 --edit zero --out new/e", ("0:0 stands twice",)),
]

Files = dict[str, bytes | None]


def rows() -> dict[str, tuple[str, tuple[str, ...], Files]]:
    """By a name that tells it: what is typed, words of the message, files in the folder."""
    found: dict[str, tuple[str, tuple[str, ...], Files]] = {typed: (typed, words, {}) for typed, words in OPTIONS}
    for case, (content, words) in EDIT_FILES.items():
        found[f"file of an edit: {case}"] = ("edits show e.safetensors", words, {"e.safetensors": content})
    for case, (name, content, words) in VALUE_FILES.items():
        content_of: Files = {name: content}
        found[f"file of values: {case}"] = (f"{ADD} --values {name}", words, content_of)
    export = "export --model demo --out o"
    other = {"e.safetensors": edit_file()}
    found["an edit of another model"] = (
        f"{export} --edit-file e.safetensors",
        ("made on another model", "demo"),
        other,
    )
    kept: Files = {"o/thesis.tex": b"years"}
    found["a folder with files"] = (f"{export} --heads 0:0 --edit zero", ("not empty", "thesis.tex"), kept)
    return found

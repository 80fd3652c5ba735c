"""First names that are one token after a space for GPT-2 and for SmolLM2, and whose gender few readers doubt."""

from __future__ import annotations

from typing import Final

WOMEN: Final = (
    "Mary", "Anna", "Sarah", "Laura", "Emma", "Lisa", "Alice", "Jane",
    "Susan", "Linda", "Rachel", "Helen", "Julia", "Emily", "Hannah", "Lucy",
)  # fmt: skip
MEN: Final = (
    "John", "James", "Paul", "Peter", "David", "Michael", "Robert", "Tom",
    "Daniel", "Kevin", "Brian", "George", "Henry", "Thomas", "William", "Richard",
)  # fmt: skip

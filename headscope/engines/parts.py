"""One machine's share of a stage, for several machines without a scheduler between them."""

from __future__ import annotations

from dataclasses import dataclass

from headscope.errors import RequestError


@dataclass(frozen=True)
class Part:
    """The share of one machine among several: pieces ``number`` - 1, ``number`` - 1 + ``of``, ...

    Attributes:
        number: counted from 1.
        of: how many parts there are.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise RequestError(
                "a part does not exist", expected="K/N with K from 1 to N", got=f"{self.number}/{self.of}"
            )

    @classmethod
    def parse(cls, text: str) -> Part:
        """``3/16`` as a part; RequestError where it is none."""
        number, slash, of = text.partition("/")
        if not (slash and number.isascii() and number.isdigit() and of.isascii() and of.isdigit()):
            raise RequestError("--shard is malformed", expected="K/N, e.g. 3/16", got=text)
        return cls(int(number), int(of))

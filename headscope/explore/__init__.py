"""The live view: a page on this machine on which a sentence is typed, heads are switched off and the model answers.

``asked`` says what the page may ask, ``answering`` answers it with the figures of ``verbs.inspect``, ``work`` has the
one thread that does, ``app`` and ``guarding`` are the ASGI application, ``serving`` serves it, ``notebook`` shows it.

The package has the name of the public function ``headscope.explore``. Once a module of it is imported, Python lets the
package stand in the function's place, so calling the package calls the function.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """A module that is called as its function is."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        from headscope.explore.notebook import explore

        return explore(*args, **options)


sys.modules[__name__].__class__ = _Callable

"""One writer a folder.

The lock is the kernel's (``flock``) on the file ``lock``: it ends with the process that holds it, however that ends,
so a dead process leaves a file but no lock, and the next one takes over. The file says who holds it, for the message.
Needs a POSIX system.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
from pathlib import Path

from headscope.errors import RequestError

LOCK_NAME = "lock"
_HELD = (errno.EWOULDBLOCK, errno.EACCES)
_HOLDER_LIMIT_BYTES = 1000


class FolderLock:
    """The lock on a folder, held from construction to ``release``."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            RequestError: another process holds it, the folder cannot be written to, or its file system has no locks.
        """
        self._path = folder / LOCK_NAME
        while True:
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            except OSError as error:
                raise RequestError(
                    "run folder cannot be locked",
                    got=error.strerror,
                    where=str(self._path),
                    fix="use a folder of yours",
                ) from error
            try:
                self._take(descriptor)
                # The former holder may have removed the file between our open and our flock: then ours locks nothing.
                if self._path.exists() and os.path.samestat(os.fstat(descriptor), self._path.stat()):
                    break
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        self._descriptor: int | None = descriptor
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": platform.node()}).encode(), 0)

    def release(self) -> None:
        """Remove the file and let go; a second call does nothing."""
        if self._descriptor is not None:
            # Removed while still held, so that nobody ever sees a file without knowing whether it is held.
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _HELD:
                raise RequestError(
                    "run folder is on a file system without locks",
                    got=error.strerror,
                    where=str(self._path),
                    fix="put the run folder on a local disk",
                ) from error
            raise RequestError(
                "another process is writing this run folder",
                got=_holder(descriptor),
                where=str(self._path.parent),
                fix="wait for it, or choose another folder with --out",
            ) from error


def _holder(descriptor: int) -> str:
    try:
        facts = json.loads(os.pread(descriptor, _HOLDER_LIMIT_BYTES, 0))
        return f"process {int(facts['pid'])} on {str(facts['host'])[:100]}"
    except (ValueError, KeyError, TypeError):
        return "a process that has just started"

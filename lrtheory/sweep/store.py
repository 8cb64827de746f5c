"""A directory that a sweep is resumed from: a definition, and a file for every tile that is done."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from ..outputs import replace_all
from .definition import digest, refuse_if_changed

try:
    import fcntl
except ImportError:  # Windows has no such lock, and directories are not locked there
    fcntl = None

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems without such locks answer: directories are not locked there either."""


class DirectoryInUse(RuntimeError):
    """A directory that another sweep is writing to at this moment."""


class Store:
    """Files of one sweep. Each is written beside its place and renamed, so that one that is there is whole."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self._definition = self.directory / "definition.json"
        self.key = ""

    def stored_definition(self) -> dict[str, Any] | None:
        """The definition of the sweep that was begun here, if one was."""
        if not self._definition.exists():
            return None
        try:
            found = json.loads(self._definition.read_text(encoding="utf-8"))
            if not isinstance(found, dict):
                raise ValueError(f"it holds {type(found).__name__}, not a mapping")
        except ValueError as error:
            raise ValueError(
                f"{self._definition} is no definition of a sweep ({error}); give another directory"
            ) from None
        return found

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other sweeps out of the directory; processes joined by ``jax.distributed`` are one sweep.

        The operating system gives the lock back when the process ends, however it ends.

        Raises
        ------
        DirectoryInUse
            In every process of the sweep, if another sweep holds the directory.
        """
        with contextlib.ExitStack() as until_the_end:
            refusal = self._lock(until_the_end) if jax.process_index() == 0 else ""
            if jax.process_count() > 1:
                said = multihost_utils.broadcast_one_to_all(np.frombuffer(refusal.encode().ljust(512)[:512], np.uint8))
                refusal = bytes(np.asarray(said)).decode(errors="replace").strip()
            if refusal:
                raise DirectoryInUse(refusal)
            yield

    def _lock(self, until_the_end: contextlib.ExitStack) -> str:
        """Take the lock until then; why that cannot be, if it cannot."""
        if fcntl is None:
            return ""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            file = until_the_end.enter_context((self.directory / ".lock").open("a+"))
        except OSError as error:
            # Nothing can be written here: a sweep that is whole is read, and another fails at its first tile.
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and self.stored_definition() is not None:
                return ""
            raise
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "of another sweep"
            return (
                f"{self.directory} is being written to by process {holder}: wait until it ends, and this sweep takes over "
                "what it has done, or give another directory"
            )
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            return ""
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return ""

    def begin(self, definition: Mapping[str, Any]) -> None:
        """Write the definition, or refuse one that is not the stored one.

        Tiles are found again by its digest alone: they are no other sweep's, even where its file was deleted.
        """
        self.key = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
        stored = self.stored_definition()
        if stored is not None:
            refuse_if_changed(str(self.directory), stored, definition)
        elif jax.process_index() == 0:
            self.directory.mkdir(parents=True, exist_ok=True)
            replace_all({self._definition: json.dumps(definition, indent=1, ensure_ascii=False)})

    def _tile(self, name: str) -> Path:
        return self.directory / f"{name}.npz"

    def has(self, name: str) -> bool:
        """Whether a tile is done."""
        return self._tile(name).exists()

    def load(self, name: str) -> list[np.ndarray]:
        """The arrays of a tile that is done.

        Raises
        ------
        ValueError
            If the file is not, to the last bit, what was saved.
        """
        path = self._tile(name)
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as kept:
                written = str(kept["digest"])
                arrays = [kept[key] for key in sorted(kept.files) if key != "digest"]
        except Exception as error:  # a file that was cut off or overwritten fails anywhere in zipfile and numpy
            raise ValueError(f"{path} cannot be read ({error}); delete it, and its runs are run again") from error
        if digest(arrays) != written:
            raise ValueError(f"{path} is not what was written there; delete it, and its runs are run again")
        return arrays

    def save(self, name: str, arrays: list[np.ndarray]) -> None:
        """Keep the arrays of a tile, and their digest."""
        named: dict[str, Any] = {f"{place:04d}": array for place, array in enumerate(arrays)}
        named["digest"] = np.array(digest(arrays))
        replace_all({self._tile(name): lambda file: np.savez(file, allow_pickle=False, **named)})

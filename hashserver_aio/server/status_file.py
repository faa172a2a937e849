"""The status file by which a launcher learns that its server runs, and where.

The launcher makes the file, a moment after it started the process; what it wrote there is kept.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import aiofiles
import aiofiles.os

from ..errors import CannotStart

WAIT_S = 20.0
POLL_S = 0.1


class StatusFile:
    """A launcher's JSON file, with our `status` and `port` added to it."""

    def __init__(self, path: Path, contents: dict[str, object]) -> None:
        self._path = path
        self._contents = contents

    @classmethod
    async def found(cls, path: Path) -> StatusFile:
        """Wait for the launcher to write its file.

        Raises: CannotStart, if it does not come within 20 s or is no JSON object.
        """
        if not await aiofiles.os.path.isdir(path.parent):
            raise CannotStart(f"status file {path}: its folder does not exist")
        deadline_s = time.monotonic() + WAIT_S
        while True:
            try:
                async with aiofiles.open(path, encoding="utf-8") as file:
                    contents = json.loads(await file.read())
                break
            except (FileNotFoundError, ValueError) as error:  # not there, or not written out yet
                if time.monotonic() >= deadline_s:
                    why = "did not appear" if isinstance(error, OSError) else "is no JSON"
                    raise CannotStart(f"status file {path} {why} within {WAIT_S:.0f} s") from None
            except OSError as error:
                raise CannotStart(f"status file {path} can't be read: {error.strerror}") from None
            await asyncio.sleep(POLL_S)
        if not isinstance(contents, dict):
            raise CannotStart(f"status file {path} must hold a JSON object")
        return cls(path, contents)

    async def running(self, port: int) -> None:
        """Say that the server answers, and where."""
        self._contents |= {"port": port, "status": "running"}
        await self._write()

    async def failed(self) -> None:
        """Say that the server could not be started."""
        self._contents["status"] = "failed"
        await self._write()

    async def _write(self) -> None:
        temporary = f"{self._path}.{os.getpid()}.tmp"
        try:
            async with aiofiles.open(temporary, "w", encoding="utf-8") as file:
                await file.write(json.dumps(self._contents) + "\n")
            await aiofiles.os.replace(temporary, self._path)
        except OSError as error:
            raise CannotStart(f"status file {self._path} can't be written: {error.strerror}") from None

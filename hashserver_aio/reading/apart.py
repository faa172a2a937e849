"""Reading in a process apart: what a buffer holds can neither hold up nor bring down the server.

Only what is too short for that is read here, in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict
from pathlib import Path

from ..errors import Starved, StoreFailed
from . import Messages, Reader
from .child import OUTCOMES, WHOLE, Frame, Outcome, read
from .places import Places

SHORT_BYTES = 2 * 1024
"""Read here, unless it is msgpack: the worst of so many bytes (rows of one number each) take 6 ms in a thread
and 0.9 MB, and no call keeps the interpreter's lock for a millisecond; a process takes 40 ms to start.
2 KiB of msgpack can ask for room for a million values: 12 MB, and 400 MB at 16 KiB."""

MAX_PROCESSES = 16
"""Each takes some 15 MB, and 512 at most; one whose client is slow only waits."""

BATCH_BYTES = 64 * 1024

_PACKAGE = __name__.partition(".")[0]

_START = """
import json, sys, types
name, folder, sys.path[:] = json.loads(sys.argv[1])
package = sys.modules[name] = types.ModuleType(name)
package.__path__ = [folder]
from importlib import import_module
import_module(name + ".reading.child").main(sys.argv[2])
"""
"""The package without its `__init__`, which would import the whole server; and with `-S` no other
modules than ours."""


Pieces = AsyncGenerator[bytes, None]


class Readers:
    """The processes that read for one server."""

    def __init__(self, most: int = MAX_PROCESSES) -> None:
        self.places = Places(most)

    async def read(
        self,
        reader: Reader,
        pieces: Pieces,
        size: int,
        frame: Frame = ("", "\n"),
        *,
        hang_up: Callable[[], None],
    ) -> AsyncGenerator[bytes, None]:
        """Yield what a reader reads in `size` bytes: the JSON of each record in a frame.

        Batches end anywhere. Whoever stops early closes the generator; then the process is gone, and
        `pieces` are closed. `hang_up` is called when the place is needed and no batch was taken for long:
        it makes the caller stop.
        Raises: Busy; BadContent, BadJson, RecordTooLong, after all that is good before it; StoreFailed
        and what the pieces raise, at any time.
        """
        if size <= SHORT_BYTES and not isinstance(reader, Messages):
            async for batch in _read_here(reader, pieces, size, frame):
                yield batch
            return
        with self.places.take(hang_up) as place:
            async with contextlib.aclosing(_read_apart(reader, pieces, size, frame)) as batches:
                async for batch in batches:
                    place.offer()
                    yield batch
                    place.taken()


async def _read_here(reader: Reader, pieces: Pieces, size: int, frame: Frame) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(pieces):
        data = b"".join([piece async for piece in pieces])
    _check_size(len(data), size)
    batch, outcome = await asyncio.to_thread(_read_at_once, reader, data, frame)
    if batch:
        yield batch
    _judge(*outcome)


def _read_at_once(reader: Reader, data: bytes, frame: Frame) -> tuple[bytes, Outcome]:
    """Read in a thread.

    What is wrong is told in words, as a process does: an error that a thread has caught holds its frames,
    and these hold the error, until the next collection of garbage.
    """
    lines: list[bytes] = []
    outcome = read(reader, [data], len(data), frame, lines.extend)
    return b"".join(lines), outcome


async def _read_apart(reader: Reader, pieces: Pieces, size: int, frame: Frame) -> AsyncGenerator[bytes, None]:
    child = await _start(reader, size, frame)
    feeding = asyncio.create_task(_feed(child, pieces, size))
    try:
        while batch := await _out(child.stdout).read(BATCH_BYTES):
            yield batch
        await feeding  # if it failed, what was read is no whole buffer, whatever the child says
        said = await _out(child.stderr).read()
        await child.wait()
    finally:
        await asyncio.shield(_end(child, feeding))
    _judge(*_outcome(said))


async def _start(reader: Reader, size: int, frame: Frame) -> Process:
    """Start a process. In a session of its own: a terminal's Ctrl-C is not for it."""
    here = json.dumps([_PACKAGE, str(Path(__file__).parent.parent), sys.path])
    wish = json.dumps([reader.name, asdict(reader), size, frame])
    command = (sys.executable, "-I", "-S", "-c", _START, here, wish)
    try:
        return await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=BATCH_BYTES, start_new_session=True
        )
    except OSError as error:
        raise Starved("no process can be started to read in; try again") from error


async def _feed(child: Process, pieces: Pieces, size: int) -> None:
    """Pass a buffer on, as fast as it is read; one that breaks off is not to be read as a whole."""
    assert child.stdin is not None
    fed = 0
    try:
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                fed += len(piece)
                child.stdin.write(piece)
                await child.stdin.drain()
        _check_size(fed, size)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has seen enough, and says why
    except BaseException:
        _kill(child)
        raise
    finally:
        child.stdin.close()


async def _end(child: Process, feeding: asyncio.Task[None]) -> None:
    """Leave no process, no descriptor and no task behind."""
    _kill(child)
    feeding.cancel()
    await asyncio.wait([feeding])
    await child.communicate()  # its pipes are only closed once they are read to their ends


def _kill(child: Process) -> None:
    if child.returncode is None:  # of who has ended, asking would take the end from asyncio
        with contextlib.suppress(ProcessLookupError):
            child.kill()


def _outcome(said: bytes) -> Outcome:
    try:
        kind, message = json.loads(said)
    except ValueError:
        raise StoreFailed("the process that read it ended unexpectedly") from None
    return kind, message


def _judge(kind: str, message: str) -> None:
    """Raise what was found to be wrong."""
    if kind != WHOLE:
        raise OUTCOMES[kind](message)


def _check_size(found: int, size: int) -> None:
    if found != size:
        raise StoreFailed(f"a buffer of {size} bytes had {found} when it was read")


def _out(stream: asyncio.StreamReader | None) -> asyncio.StreamReader:
    assert stream is not None
    return stream

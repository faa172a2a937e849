"""Reading in processes: the same as here, without ever holding up the server, and to no end but its own."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import time
import tracemalloc
import weakref
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from pathlib import Path

import msgpack  # type: ignore[import-untyped]  # it has no types
import pytest

from hashserver_aio.errors import BadContent, BadJson, Busy, RecordTooLong, StoreFailed
from hashserver_aio.reading import MAX_RECORD_BYTES, JsonLines, Lines, Messages, Reader, Rows, Struct
from hashserver_aio.reading.apart import SHORT_BYTES, Pieces, Readers
from hashserver_aio.reading.child import texts

from .chunks import Source
from .peers import until
from .processes import children

MESSAGE = msgpack.packb({"a": [1, 2.5, None], "b": b"\0", 3: "é"})


def pipes() -> set[str]:
    """Name the pipes that are open here; asyncio talks to its processes through sockets, too."""
    names = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            names.add(os.readlink(path))
    return {name for name in names if name.startswith(("pipe:", "socket:"))}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Each reading ends with its process and its descriptors gone, however it ended."""
    before, descriptors = children(), set(os.listdir("/proc/self/fd"))
    yield
    assert children() <= before
    left = {
        fd for fd in set(os.listdir("/proc/self/fd")) - descriptors if os.path.exists(f"/proc/self/fd/{fd}")
    }
    assert not {fd for fd in left if "pipe" in os.readlink(f"/proc/self/fd/{fd}")}


def reading(reader: Reader, pieces: Pieces, size: int, readers: Readers | None = None) -> Pieces:
    """Read where nobody else wants the place."""
    return (readers or Readers()).read(reader, pieces, size, hang_up=pytest.fail)


async def read(reader: Reader, source: Source, size: int | None = None) -> bytes:
    """Read to the end."""
    batches = reading(reader, source.pieces(), source.size if size is None else size)
    return b"".join([batch async for batch in batches])


READERS = [
    (Lines(), "é€\r\nb\r".encode()),
    (Rows(), 'a,"b\r\nc",é\r\n'.encode()),
    (Rows("excel-tab", parameters={"quotechar": "'"}), b"a\t'b\tc'\n"),
    (JsonLines(errors="strict"), b'{"a": 1e999}\n\n[1]\n'),
    (Messages(), MESSAGE),
]


@pytest.mark.parametrize(("reader", "unit"), READERS, ids=lambda value: getattr(value, "name", None))
async def test_a_process_reads_the_same(reader: Reader, unit: bytes) -> None:
    """What is read in a process is what would be read here, to the byte; the buffer is let go."""
    source = Source(unit * 1000, 1_500_000 // (len(unit) * 1000))
    short = b"".join(texts(reader, [unit * 10], len(unit) * 10, ("", "\n")))
    assert source.size > SHORT_BYTES
    assert await read(reader, source) == short * (source.size // (len(unit) * 10))
    assert source.closed


async def test_a_process_unpacks_the_same() -> None:
    """A struct of a megabyte is read in a process."""
    values = json.loads(await read(Struct("524288H"), Source(b"\1\0" * 524288)))
    assert values == [1] * 524288


@pytest.mark.parametrize("count", [10, 100_000])
@pytest.mark.parametrize(
    ("reader", "good", "bad", "error"),
    [
        (JsonLines(), b"[1]\n", b"[NaN]", BadJson),
        (Lines("strict"), b"a\n", b"\xff", BadContent),
        (Rows(parameters={"strict": True}), b"a,b\n", b'"a"b', BadContent),
        (Messages(), MESSAGE, b"\xc1", BadContent),
        (Lines(limit_bytes=5), b"a\n", b"123456", RecordTooLong),
        (JsonLines(), b"[1]\n", b"[" * 100_000, BadJson),
    ],
    ids=str,
)
async def test_errors_come_after_what_is_good(
    reader: Reader, good: bytes, bad: bytes, error: type[Exception], count: int
) -> None:
    """All that is good comes first, in whole lines; then the error, as it would be raised here."""
    batches = []
    with pytest.raises(error):
        async for batch in reading(reader, Source(good * count + bad).pieces(), len(good * count + bad)):
            batches.append(batch)
    assert b"".join(batches).count(b"\n") == count
    assert b"".join(batches).endswith(b"\n")


async def test_a_bomb_harms_its_process_only() -> None:
    """A value that takes gigabytes is too long: its process may take half of one."""
    bomb = b"\xdd\x00\xff\xff\xf0" + b"\x90" * (MAX_RECORD_BYTES - 16)
    with pytest.raises(RecordTooLong, match="more memory"):
        await read(Messages(), Source(bomb))


async def test_a_field_of_megabytes() -> None:
    """Fields may be as long as rows: the 131,072 characters of Python's csv do not count."""
    assert len(await read(Rows(), Source(b"x" * 3_000_000))) == 3_000_005


@pytest.mark.parametrize("size", [2_000, 16_000])
async def test_a_short_bomb_costs_the_server_nothing(size: int) -> None:
    """A few bytes of msgpack that ask for room for millions of values do not get it in the server itself."""
    bomb = (b"\xdd" + (size - 100).to_bytes(4, "big")) * (size // 5)
    tracemalloc.start()
    try:
        with pytest.raises(BadContent):
            await read(Messages(), Source(bomb))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("reader", [Rows(parameters={"quoting": 2}), Lines(), JsonLines()], ids=str)
async def test_what_is_read_here_takes_milliseconds(reader: Reader) -> None:
    """What is read in the server itself is too short to cost much, whatever it holds."""
    data = (b"\n" * SHORT_BYTES) if isinstance(reader, Lines) else b"1\n" * (SHORT_BYTES // 2)
    times_s = []
    for _ in range(5):  # the best of them: others use this machine, too
        begin_s = time.thread_time()
        assert len(list(texts(reader, [data], len(data), ("", "\n")))) == data.count(b"\n")
        times_s.append(time.thread_time() - begin_s)
    assert min(times_s) < 0.02


async def test_a_refusal_leaves_nothing_behind() -> None:
    """What a refused reading held is let go with the refusal, before any collection of garbage."""
    gc.collect()
    gc.disable()
    try:
        try:
            await read(JsonLines(), Source(b"[1]\n[NaN]\n"))
        except BadJson as error:
            refusal = weakref.ref(error)
        await until(lambda: refusal() is None, within_s=5)
    finally:
        gc.enable()


async def test_who_stops_early() -> None:
    """Who closes a reading has the buffer let go at once, most of it unread."""
    source = Source(b"line\n" * 200_000, 1000)
    readers = Readers()
    async with aclosing(reading(Lines(), source.pieces(), source.size, readers)) as batches:
        assert (await anext(batches)).startswith(b'"line"\n"line"\n')
        assert len(readers.places) == 1 and not source.closed
    assert source.closed and len(readers.places) == 0
    assert source.read_bytes < 8_000_000


async def test_who_is_cancelled() -> None:
    """Who is cancelled while reading has the buffer let go, too."""
    source = Source(b"line\n" * 200_000, 1000)
    task = asyncio.create_task(read(Lines(), source))
    await source.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed and source.read_bytes < source.size


async def test_who_is_slow() -> None:
    """No more is read than was taken, but for a few megabytes."""
    source = Source(b"line\n" * 200_000, 1000)
    async with aclosing(reading(Lines(), source.pieces(), source.size)) as batches:
        await anext(batches)
        await asyncio.sleep(0.5)
        assert source.read_bytes < 8_000_000


async def test_a_process_that_dies() -> None:
    """What was read by a process that is killed is not taken for the whole."""
    source = Source(b"line\n" * 200_000, 1000)
    before = children()
    with pytest.raises(StoreFailed, match="ended unexpectedly"):
        async for _ in reading(Lines(), source.pieces(), source.size):
            for pid in children() - before:
                os.kill(pid, signal.SIGKILL)
    assert source.closed


async def test_a_process_that_hangs() -> None:
    """Nobody waits for a process that does not go on: it is killed, also when it was given everything."""
    source = Source(b"line\n" * (SHORT_BYTES // 5 + 1))
    before = children()
    task = asyncio.create_task(read(Lines(), source))
    await source.begun.wait()
    for pid in children() - before:
        os.kill(pid, signal.SIGSTOP)
    await until(lambda: source.closed, within_s=10)
    await asyncio.sleep(0.2)
    task.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("count", [10, 100_000])
async def test_a_buffer_that_breaks(count: int) -> None:
    """If the buffer can't be read to its end, that is the error, whatever was read of it."""

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"ab\n" * count
        raise StoreFailed("the disk is gone")

    with pytest.raises(StoreFailed, match="the disk is gone"):
        async for _ in reading(Lines(), pieces(), 3 * count + 1):
            pass


@pytest.mark.parametrize("count", [10, 100_000])
async def test_a_buffer_that_is_cut(count: int) -> None:
    """A file that has become shorter is not taken for the buffer."""
    with pytest.raises(StoreFailed, match="had"):
        await read(Lines(), Source(b"ab\n" * count), size=3 * count + 1)


async def test_too_many_at_once() -> None:
    """So many processes and no more: who comes then is told to come again, and may once one has ended."""
    readers = Readers(most=1)
    source = Source(b"line\n" * 200_000, 2)
    async with aclosing(reading(Lines(), source.pieces(), source.size, readers)) as batches:
        await anext(batches)
        with pytest.raises(Busy):
            await anext(reading(Lines(), source.pieces(), source.size, readers))
        assert (
            b"".join([batch async for batch in reading(Lines(), Source(b"a").pieces(), 1, readers)])
            == b'"a"\n'
        )
    assert len([batch async for batch in reading(Lines(), source.pieces(), source.size, readers)]) > 1


async def test_empty() -> None:
    """An empty buffer has no lines."""
    assert await read(Lines(), Source(b"")) == b""

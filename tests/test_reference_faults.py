"""The faults of the program that this one stands in for: each was seen there, and none is here."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import time
from pathlib import Path

import pytest

from .conftest import Client, ClientFactory, ServerFactory
from .test_bad_input import files, head, statuses
from .test_command import ask

BODY = b"many bytes " * 30_000
NAME = hashlib.sha3_256(BODY).hexdigest()
PATH = f"/{NAME}"
PROMPTLY_S = 10
"""What the reference takes 600 s for; no measure of speed."""


class Uploading:
    """An upload of BODY of which only the first half has been sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def begun(cls, client: Client, directory: Path) -> Uploading:
        """Begin, and wait until the server has a temp file for it."""
        before = temps(directory)
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(head("PUT", PATH, f"Content-Length: {len(BODY)}") + BODY[: len(BODY) // 2])
        await changed(directory, before)
        return cls(reader, writer)

    async def end(self) -> list[int]:
        """Send the rest; the status that it is answered with."""
        self._writer.write(BODY[len(BODY) // 2 :])
        answer = await self._reader.read()
        self._writer.close()
        return statuses(answer)

    async def abort(self, directory: Path) -> None:
        """Hang up, and wait until the server has noticed."""
        before = temps(directory)
        self._writer.transport.abort()
        await changed(directory, before)


def temps(directory: Path) -> int:
    """Count the temp files of uploads of the buffer."""
    return len([name for name in files(directory) if f"{NAME}." in name])


async def changed(directory: Path, before: int) -> None:
    """Wait until an upload has begun or ended."""
    for _ in range(500):
        if temps(directory) != before:
            return
        await asyncio.sleep(0.02)
    pytest.fail("the server does not notice")


async def has(client: Client, path: str = "/has") -> bool:
    """Ask whether the buffer is there, or is coming."""
    answer: list[bool] = await (await client.post(path, json=[NAME])).json()
    return answer == [True]


async def get(client: Client) -> tuple[int, bytes]:
    """Get the buffer, which must not take long."""
    async with asyncio.timeout(PROMPTLY_S):
        answer = await client.get(PATH)
        return answer.status, await answer.read()


def written_by_others(directory: Path, body: bytes = BODY) -> Path:
    """Store a file under the buffer's name as another program does, in one step."""
    path = directory / NAME[:2] / NAME
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name("elsewhere")
    temporary.write_bytes(body)
    temporary.rename(path)
    return path


async def test_abort_keeps_what_came_through_directory(client: Client, directory: Path) -> None:
    """An aborted upload takes nothing away that another program stored meanwhile."""
    upload = await Uploading.begun(client, directory)
    written_by_others(directory)
    await upload.abort(directory)
    assert await get(client) == (200, BODY)


async def test_abort_keeps_what_came_through_server(start_client: ClientFactory, directory: Path) -> None:
    """An aborted upload takes nothing away that another server stored meanwhile."""
    one, other = await start_client(), await start_client()
    upload = await Uploading.begun(one, directory)
    assert (await other.put(PATH, data=BODY)).status == 200
    await upload.abort(directory)
    assert await get(one) == await get(other) == (200, BODY)


@pytest.mark.parametrize("servers", [1, 2])
async def test_second_uploader(start_client: ClientFactory, directory: Path, servers: int) -> None:
    """The second of two uploaders is told 200 because its own bytes are stored, whatever the first does."""
    one = await start_client()
    other = one if servers == 1 else await start_client()
    first = await Uploading.begun(one, directory)
    assert (await other.put(PATH, data=BODY)).status == 200
    assert await get(other) == (200, BODY)
    await first.abort(directory)
    assert await get(one) == (200, BODY)


async def test_both_uploaders(client: Client, directory: Path) -> None:
    """Of two uploads of one buffer both may end well."""
    first = await Uploading.begun(client, directory)
    second = await Uploading.begun(client, directory)
    assert (await second.end(), await first.end()) == ([200], [200])
    assert await get(client) == (200, BODY)


@pytest.mark.parametrize("wrong", [b"", BODY[:-1], BODY[::-1]])
async def test_truncated_is_repaired(client: Client, directory: Path, wrong: bytes) -> None:
    """A truncated or corrupt file is never sent, and a PUT of the buffer repairs it."""
    path = written_by_others(directory, wrong)
    os.utime(path, (time.time() - 1000,) * 2)
    assert (await get(client))[0] == 400
    assert (await client.put(PATH, data=BODY)).status == 200
    assert await get(client) == (200, BODY)


async def test_truncated_after_put(client: Client, directory: Path) -> None:
    """Nor is a file sent that was acknowledged and truncated by somebody afterwards."""
    assert (await client.put(PATH, data=BODY)).status == 200
    written_by_others(directory, BODY[:-1])
    assert (await get(client))[0] == 400
    assert (await client.put(PATH, data=BODY)).status == 200
    assert await get(client) == (200, BODY)


ABSENT = [hashlib.sha3_256(b"absent %d" % number).hexdigest() for number in range(100_000)]


def test_many_absent_names(start_server: ServerFactory, directory: Path) -> None:
    """While 100,000 absent names are looked up other requests are answered."""
    server = start_server(directory, "--writable")
    for number in range(256):  # as in a directory in use
        (directory / f"{number:02x}").mkdir()
    assert ask(server.port, "PUT", PATH, BODY)[0] == 200
    body = json.dumps(ABSENT).encode()
    with socket.create_connection(("127.0.0.1", server.port)) as asking:
        asking.sendall(head("POST", "/has", f"Content-Length: {len(body)}") + body)
        asking.setblocking(False)
        answered = 0
        while not begun(asking):
            answered += ask(server.port, "GET", PATH) == (200, BODY)
        asking.setblocking(True)
        answer = b"".join(iter(lambda: asking.recv(1_000_000), b""))
    assert answer.endswith(json.dumps([False] * len(ABSENT)).encode())
    assert answered > 1  # the last one may have ended after the answer began


def begun(connection: socket.socket) -> bool:
    """Tell whether an answer has begun to arrive."""
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


@pytest.mark.parametrize("how", ["wrong bytes", "cut", "refused"])
async def test_promise_ends_with_failed_put(client: Client, directory: Path, how: str) -> None:
    """A promise does not outlive a PUT that fails: who waits for the buffer is told 404 at once."""
    assert (await client.put(f"/promise{PATH}")).status == 202
    waiting = asyncio.create_task(get(client))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    if how == "cut":
        await (await Uploading.begun(client, directory)).abort(directory)
    else:
        headers = {"Content-Encoding": "br"} if how == "refused" else {}
        assert (await client.put(PATH, data=b"others", headers=headers)).status in (400, 415)
    assert await waiting == (404, b"Not found") and not await has(client)


async def test_promise_kept_through_directory(client: Client, directory: Path) -> None:
    """Who waits for a promised buffer gets it when another program writes it into the directory."""
    assert (await client.put(f"/promise{PATH}")).status == 202
    waiting = asyncio.create_task(get(client))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    written_by_others(directory)
    assert await waiting == (200, BODY)


async def test_promise_kept_through_process(
    client: Client, start_server: ServerFactory, directory: Path
) -> None:
    """Who waits for a promised buffer gets it when it arrives through another process."""
    other = start_server(directory, "--writable")
    assert (await client.put(f"/promise{PATH}")).status == 202
    waiting = asyncio.create_task(get(client))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    assert await asyncio.to_thread(ask, other.port, "PUT", PATH, BODY) == (200, b"OK")
    assert await waiting == (200, BODY)


@pytest.mark.parametrize("writable", [True, False])
async def test_get_does_not_hash_again(
    start_client: ClientFactory, directory: Path, reads: list[str], writable: bool
) -> None:
    """Another program's file is hashed once, before its first byte is sent; our own never again."""
    client = await start_client(writable=writable)
    if writable:
        assert (await client.put(PATH, data=BODY)).status == 200
        assert await get(client) == (200, BODY) and reads == []
    written_by_others(directory)
    await asyncio.sleep(1.2)  # a younger file could still change without a trace
    for first in range(3):
        part = await client.get(PATH, headers={"Range": f"bytes={first}-{first}"})
        assert (part.status, await part.read()) == (206, BODY[first : first + 1])
    assert reads == [NAME]


async def test_get_writes_nothing(start_client: ClientFactory, directory: Path) -> None:
    """Reading writes nothing: on a read-only server not even the marker, and no request is a 500."""
    client = await start_client(writable=False)
    written_by_others(directory)
    before = os.stat(directory).st_mtime_ns
    for _ in range(2):
        assert await get(client) == (200, BODY)
    for path in (PATH, f"/promise{PATH}"):
        refused = await client.put(path, data=b"x")
        assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert files(directory) == [f"{NAME[:2]}/{NAME}"] and os.stat(directory).st_mtime_ns == before


async def test_disconnect_leaves_no_temp(client: Client, directory: Path) -> None:
    """Of an upload that is cut off no temp file stays."""
    upload = await Uploading.begun(client, directory)
    assert temps(directory) == 1
    await upload.abort(directory)
    assert not [name for name in files(directory) if NAME in name]


async def test_has_of_no_names(client: Client) -> None:
    """What is no name in a list is a 400 that tells its place."""
    answer = await client.get("/has", json=[NAME, 1])
    assert answer.status == 400 and (await answer.json())["exception"]["loc"] == ["body", 1]


@pytest.mark.parametrize("layout", ["prefix", "flat"])
async def test_extra_directories(start_client: ClientFactory, tmp_path: Path, layout: str) -> None:
    """What an extra directory of either layout holds is there for GET and for /has alike."""
    extra = tmp_path / "extra"
    extra.mkdir()
    path = written_by_others(extra)
    if layout == "flat":
        path.rename(extra / NAME)
    client = await start_client(extra_dirs=(extra,))
    assert await get(client) == (200, BODY)
    assert await has(client) and await has(client, "/has-now")
    assert await (await client.post("/buffer-length", json=[NAME])).json() == [len(BODY)]


async def test_etag_is_checksum(client: Client) -> None:
    """The ETag is the checksum, and who has that already is told 304 without the bytes."""
    assert (await client.put(PATH, data=BODY)).status == 200
    assert (await client.get(PATH)).headers["ETag"] == f'"{NAME}"'
    again = await client.get(PATH, headers={"If-None-Match": f'"{NAME}"'})
    assert (again.status, await again.read()) == (304, b"")

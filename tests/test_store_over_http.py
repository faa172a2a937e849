"""What every store promises, once more: as it is kept for whoever asks a server through the client.

What only the server sees of it (forms, identities, what is told without waiting) is left to the other one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from hashserver_aio import Client
from hashserver_aio.checksums import Checksum
from hashserver_aio.errors import BufferNotFound
from hashserver_aio.settings import Layout
from hashserver_aio.store import FORMS, Form
from hashserver_aio.store.layout import VAULT_FOLDERS

from .clients import sha256
from .conftest import ClientFactory
from .peers import until
from .test_store_contract import ABSENT, BODIES, CODERS, LONG, SHORT, name, path_of, temps, write

HUGE = LONG * 400


async def is_absent(client: Client, checksum: Checksum, folder: Path) -> bool:
    """Tell whether nothing is there, whichever way it is asked for."""
    asks: list[Awaitable[Any]] = [client.get(checksum), client.stat(checksum)]
    asks.append(client.download(checksum, folder / "absent"))
    for ask in asks:
        with pytest.raises(BufferNotFound):
            await ask
    return not await client.has(checksum) and not (folder / "absent").exists()


class ReadingOverHttp:
    """What whoever reads may rely on, whatever the layout."""

    layout: Layout

    @pytest.fixture
    async def client(self, start_client: ClientFactory, directory: Path) -> AsyncIterator[Client]:
        """A client of a server on the layout."""
        for folder in VAULT_FOLDERS if self.layout is Layout.VAULT else ():
            (directory / folder).mkdir(parents=True)
        writable = self.layout is not Layout.VAULT
        settings = {"layout": self.layout, "writable": writable, "allow_delete": writable, "fsync": False}
        server = await start_client(**settings)
        async with Client(str(server.make_url(""))) as client:
            yield client

    async def test_absent(self, client: Client, tmp_path: Path) -> None:
        """Of what is not there nothing is given, told, or waited for."""
        assert await client.algorithm() == "sha3-256"
        assert await is_absent(client, ABSENT, tmp_path)
        assert await client.has([ABSENT], promised=True) == [False]

    async def test_foreign_files(self, client: Client, directory: Path, tmp_path: Path) -> None:
        """What other programs store and remove is found and gone at once, in whichever forms."""
        paths = [path_of(directory, self.layout, name(LONG), form) for form in FORMS]
        for path, form in zip(paths, FORMS, strict=True):
            write(path, CODERS[form](LONG))
        for path in paths:
            assert await client.has([name(LONG), ABSENT]) == [True, False]
            assert await client.get(name(LONG)) == LONG
            path.unlink()
        assert await is_absent(client, name(LONG), tmp_path)

    async def test_no_files(self, client: Client, directory: Path, tmp_path: Path) -> None:
        """A folder or a named pipe of a buffer's name is no buffer, and hangs nobody."""
        for body, make in ((SHORT, os.mkdir), (LONG, os.mkfifo)):
            path = path_of(directory, self.layout, name(body))
            path.parent.mkdir(exist_ok=True)
            make(path)
            assert await is_absent(client, name(body), tmp_path)

    async def test_present_in_a_crowd(self, client: Client, directory: Path) -> None:
        """A long list is answered as a short one is, name by name."""
        bodies = [b"%d" % number for number in range(300)]
        for number, body in enumerate(bodies[::3]):
            write(path_of(directory, self.layout, name(body), FORMS[number % 3]), body)
        asked = [*map(name, bodies), ABSENT]
        assert await client.has(asked) == [number % 3 == 0 for number in range(300)] + [False]

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("body", BODIES, ids=len)
    async def test_plain_bytes(self, client: Client, directory: Path, form: Form, body: bytes) -> None:
        """The plain bytes of a form are read at any time and by any number."""
        write(path_of(directory, self.layout, name(body), form), CODERS[form](body))
        assert await asyncio.gather(*(client.get(name(body)) for _ in range(10))) == [body] * 10


class StoreOverHttp(ReadingOverHttp):
    """What whoever writes may rely on besides."""

    async def test_put(self, client: Client, directory: Path) -> None:
        """A buffer that was put is there, whole, as a file; a second one changes nothing."""
        for is_new in (True, False):
            assert await client.put(SHORT) == (name(SHORT), is_new)
            assert path_of(directory, self.layout, name(SHORT)).read_bytes() == SHORT
            assert await client.get(name(SHORT)) == SHORT

    async def test_upload(self, client: Client, tmp_path: Path) -> None:
        """An upload is coming until its commit, whole from then on, and called all that it hashes to."""
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            yield LONG[:70_000]
            begun.set()
            await go_on.wait()
            yield LONG[70_000:]

        task = asyncio.create_task(client.put(pieces, name=name(LONG), size=len(LONG)))
        await begun.wait()
        await until(lambda: client.has(name(LONG), promised=True), within_s=20)
        assert not await client.has(name(LONG))
        go_on.set()
        assert await task == (name(LONG), True)
        assert await client.get(name(LONG)) == LONG
        assert (await client.hashset(sha256(LONG)))["size"] == len(LONG)

    async def test_abort(self, client: Client, directory: Path, tmp_path: Path) -> None:
        """An upload that breaks leaves nothing behind."""

        async def broken() -> AsyncIterator[bytes]:
            yield HUGE[:-1000]
            await until(lambda: temps(directory), within_s=20)
            raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"):
            await client.put(broken, name=name(HUGE), size=len(HUGE))
        await until(lambda: not temps(directory), within_s=20)

        async def is_over() -> bool:
            return not await client.has(name(HUGE), promised=True)

        await until(is_over, within_s=20)  # that is told a moment after its file is gone
        assert await is_absent(client, name(HUGE), tmp_path)

    async def test_remove(self, client: Client, directory: Path, tmp_path: Path) -> None:
        """A buffer is removed in all its forms, once; who is reading it reads on; it may come again."""
        assert not await client.remove(name(HUGE))
        await client.put(HUGE)
        for form in FORMS[1:]:
            write(path_of(directory, self.layout, name(HUGE), form), CODERS[form](HUGE))
        got = bytearray()
        async with aclosing(client.stream(name(HUGE))) as pieces:
            async for piece in pieces:
                if not got:
                    assert await client.remove(name(HUGE))
                    assert await is_absent(client, name(HUGE), tmp_path)
                got += piece
        assert got == HUGE
        assert not await client.remove(name(HUGE))
        assert (await client.put(HUGE)).is_new and await client.has(name(HUGE))

    async def test_promises(self, client: Client) -> None:
        """A promise is told until it is kept, and is no buffer."""
        for body in (SHORT, LONG):
            assert await client.promise(name(body)) > 0
        asked = [ABSENT, name(SHORT), name(LONG)]
        assert await client.has(asked, promised=True) == [False, True, True]
        assert await client.has(asked) == [False, False, False]
        waiting = asyncio.create_task(client.get(name(SHORT)))
        await client.put(SHORT)
        assert await waiting == SHORT
        assert await client.has(asked) == [False, True, False]


class TestPrefixOverHttp(StoreOverHttp):
    """A directory in the prefix layout."""

    layout = Layout.PREFIX


class TestFlatOverHttp(StoreOverHttp):
    """A directory in the flat layout."""

    layout = Layout.FLAT


class TestVaultOverHttp(ReadingOverHttp):
    """A vault, which is read-only."""

    layout = Layout.VAULT

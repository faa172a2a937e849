"""What every store promises."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, closing
from pathlib import Path

import pytest
from backports import zstd

from hashserver_aio.checksums import Algorithm, Checksum, Digester
from hashserver_aio.settings import Layout, Settings
from hashserver_aio.store import FORMS, Form, Identity, Store
from hashserver_aio.store.directory import DirectoryStore
from hashserver_aio.store.layout import VAULT_FOLDERS

BODIES = (b"", b"a small one", b"abcdefgh" * 10_000)
SHORT, LONG = BODIES[1:]
ABSENT = Checksum("0" * 64)
CODERS: dict[Form, Callable[[bytes], bytes]] = {
    Form.PLAIN: bytes,
    Form.ZSTD: zstd.compress,
    Form.GZIP: lambda data: gzip.compress(data, mtime=0),
}


def name(body: bytes) -> Checksum:
    """Name a body."""
    return Checksum(hashlib.sha3_256(body).hexdigest())


def path_of(directory: Path, layout: Layout, checksum: Checksum, form: Form = Form.PLAIN) -> Path:
    """Say where another program keeps a buffer."""
    folders = {Layout.PREFIX: checksum[:2], Layout.FLAT: "", Layout.VAULT: "dependent/big"}
    return directory / folders[layout] / (checksum + form)


def write(path: Path, data: bytes) -> None:
    """Write a file as another program does: beside its place, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name("foreign.tmp")
    temporary.write_bytes(data)
    moment = random.randrange(10**18)  # of its own: the file system's clock is slower than these tests
    os.utime(temporary, ns=(moment, moment))
    temporary.rename(path)


def temps(directory: Path) -> list[Path]:
    """Name the temp files that lie below a directory."""
    return list((directory / ".hashserver-aio" / "tmp").glob("*/*"))


@asynccontextmanager
async def opened(directory: Path, layout: Layout) -> AsyncIterator[DirectoryStore]:
    """Open a store on a directory."""
    writable = layout is not Layout.VAULT
    store = DirectoryStore(Settings(directory=directory, layout=layout, writable=writable, fsync=False))
    await store.start()
    try:
        yield store
    finally:
        await store.close()


async def forms_of(store: Store, checksum: Checksum, forms: Sequence[Form] = FORMS) -> dict[Form, bytes]:
    """Read all that a store finds under a name, in its order."""
    found = {}
    async with aclosing(store.find(checksum, forms)) as files:
        async for stored in files:
            with stored.file, closing(stored.reader()) as reader:
                assert (stored.checksum, stored.now()) == (checksum, stored.identity)
                found[stored.form] = reader.read()
    return found


class ReadingContract:
    """What whoever reads a store may rely on, whichever it is."""

    layout: Layout

    @pytest.fixture
    async def store(self, directory: Path) -> AsyncIterator[Store]:
        """An open store."""
        for folder in VAULT_FOLDERS if self.layout is Layout.VAULT else ():
            (directory / folder).mkdir(parents=True)
        async with opened(directory, self.layout) as store:
            yield store

    async def test_absent(self, store: Store) -> None:
        """Of what is not there nothing is found, told, or waited for."""
        assert (store.format.algorithm, store.format.layout) == (Algorithm.SHA3_256, self.layout)
        assert (store.has_room(0), store.has_room(2**62)) == (True, False)
        assert await forms_of(store, ABSENT) == {}
        assert (await store.present([ABSENT]), await store.sizes([ABSENT])) == (set(), {})
        assert store.is_absent(ABSENT, ())
        assert not (await store.is_awaited(ABSENT) or await store.pending([ABSENT]))

    async def test_foreign_files(self, store: Store, directory: Path) -> None:
        """What other programs store and remove is found and gone at once, the preferred form first."""
        paths = [path_of(directory, self.layout, name(SHORT), form) for form in FORMS]
        for path, form in zip(paths, FORMS, strict=True):
            write(path, CODERS[form](SHORT))
        for forms in (FORMS, FORMS[::-1], FORMS[1:2]):
            found = await forms_of(store, name(SHORT), forms)
            assert list(found.items()) == [(form, CODERS[form](SHORT)) for form in forms]
        assert await store.sizes([name(SHORT)]) == {name(SHORT): len(SHORT)}
        for path in paths:
            assert await store.present([name(SHORT), ABSENT]) == {name(SHORT)}
            path.unlink()
        assert store.is_absent(name(SHORT), ())

    async def test_own(self, store: Store, directory: Path) -> None:
        """What lies where uploads go is opened form by form; nothing else is."""
        own = path_of(directory, self.layout, name(SHORT), Form.GZIP)
        if self.layout is Layout.VAULT:
            own = directory / VAULT_FOLDERS[0] / own.name
        write(own, b"compressed")
        assert await store.own(name(SHORT), Form.PLAIN) is None
        stored = await store.own(name(SHORT), Form.GZIP)
        assert stored is not None and (stored.path, stored.file.read()) == (str(own), b"compressed")
        stored.file.close()

    async def test_no_files(self, store: Store, directory: Path) -> None:
        """A folder or a named pipe of a buffer's name is no buffer, and hangs nobody."""
        for body, make in ((SHORT, os.mkdir), (LONG, os.mkfifo)):
            path = path_of(directory, self.layout, name(body))
            path.parent.mkdir(exist_ok=True)
            make(path)
            assert await forms_of(store, name(body)) == {}
        assert await store.present([name(SHORT), name(LONG)]) == set()

    async def test_present_in_a_crowd(self, store: Store, directory: Path) -> None:
        """A long list is answered as a short one is, name by name."""
        bodies = [b"%d" % number for number in range(300)]
        for number, body in enumerate(bodies[::3]):
            write(path_of(directory, self.layout, name(body), FORMS[number % 3]), body)
        assert await store.present([*map(name, bodies), ABSENT]) == set(map(name, bodies[::3]))

    @pytest.mark.parametrize("form", FORMS)
    async def test_plain_bytes(self, store: Store, directory: Path, form: Form) -> None:
        """The plain bytes of a form are read, and streamed in pieces, at any time and by any number."""
        write(path_of(directory, self.layout, name(LONG), form), CODERS[form](LONG))
        async with aclosing(store.find(name(LONG), [form])) as files:
            async for stored in files:
                with stored.file:
                    digester = Digester(Algorithm.SHA3_256)
                    await asyncio.gather(store.read(stored, digester), store.read(stored, hashlib.md5()))
                    pieces = [piece async for piece in store.pieces(stored)]
        assert (digester.checksum, digester.size) == (name(LONG), len(LONG))
        assert b"".join(pieces) == LONG


class StoreContract(ReadingContract):
    """What whoever writes a store may rely on besides."""

    async def test_put(self, store: Store, directory: Path) -> None:
        """A buffer that was put is there, whole; its identity is the file's; a second one replaces it."""
        for _ in range(2):
            identity = await store.put(name(SHORT), SHORT)
            path = path_of(directory, self.layout, name(SHORT))
            assert (identity, path.read_bytes()) == (Identity.of(path.stat()), SHORT)
            assert await forms_of(store, name(SHORT)) == {Form.PLAIN: SHORT}

    @pytest.mark.parametrize("form", FORMS)
    async def test_upload(self, store: Store, form: Form) -> None:
        """An upload is invisible until its commit, whole from then on, and told to every sink."""
        sink, data = hashlib.sha256(), CODERS[form](LONG)
        upload = store.upload(name(LONG), form, [sink])
        await upload.open()
        await upload.write(data[:1000])
        await upload.write(data[1000:])
        await upload.finish()
        digester = Digester(Algorithm.SHA3_256)
        await upload.verify(digester, None)
        assert (digester.checksum, sink.digest()) == (name(LONG), hashlib.sha256(data).digest())
        assert store.is_absent(name(LONG), ())
        await upload.commit(name(LONG), digester.size)
        await upload.abort()  # does not undo it
        assert await forms_of(store, name(LONG)) == {form: data}
        assert await store.sizes([name(LONG)]) == {name(LONG): len(LONG)}

    async def test_abort(self, store: Store, directory: Path) -> None:
        """An upload that is given up leaves nothing behind, however often that is said."""
        upload = store.upload(name(LONG), Form.ZSTD, [])
        await upload.open()
        await upload.write(LONG)
        assert temps(directory)
        for _ in range(2):
            await upload.abort()
        assert store.is_absent(name(LONG), ()) and not temps(directory)

    async def test_remove(self, store: Store, directory: Path) -> None:
        """A buffer is removed in all its forms, once; who has it open reads on; it may come again."""
        assert not await store.remove(name(SHORT))
        await store.put(name(SHORT), SHORT)
        for form in FORMS:
            write(path_of(directory, self.layout, name(SHORT), form), CODERS[form](SHORT))
        stored = store.open_at_once(name(SHORT), FORMS)
        assert stored is not None
        with stored.file, closing(stored.reader()) as reader:
            assert await store.remove(name(SHORT))
            assert store.is_absent(name(SHORT), ()) and reader.read() == SHORT
        assert not await store.remove(name(SHORT))
        await store.put(name(SHORT), SHORT)
        assert await store.present([name(SHORT)]) == {name(SHORT)}

    async def test_promises(self, store: Store) -> None:
        """A promise is told until it is kept or taken back; of what is held already none is needed."""
        for body in (SHORT, LONG):
            await store.promise(name(body))
        assert await store.pending([ABSENT, name(SHORT), name(LONG)]) == {name(SHORT), name(LONG)}
        assert await store.is_awaited(name(SHORT)) and store.is_absent(name(SHORT), ())
        await store.drop_promise(name(LONG))
        await store.put(name(SHORT), SHORT)
        await store.promise(name(SHORT))
        assert await store.pending([name(SHORT), name(LONG)]) == set()


class TestPrefixStore(StoreContract):
    """A directory in the prefix layout."""

    layout = Layout.PREFIX


class TestFlatStore(StoreContract):
    """A directory in the flat layout."""

    layout = Layout.FLAT


class TestVault(ReadingContract):
    """A vault, which is read-only."""

    layout = Layout.VAULT

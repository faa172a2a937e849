"""Buffers over a store equal a dict, whatever is done to the directory."""

from __future__ import annotations

import os
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashserver_aio.buffers import Buffers
from hashserver_aio.catalogue.sqlite import SqliteCatalogue
from hashserver_aio.errors import BufferCorrupt, BufferNotFound, ChecksumMismatch, UploadCut
from hashserver_aio.settings import Layout, Settings
from hashserver_aio.store import FORMS, Form

from .test_store_contract import ABSENT, BODIES, CODERS, name, opened, path_of, temps, write


class Sent:
    """An upload's body, in two pieces; it may be cut before the second one."""

    has_arrived = False

    def __init__(self, data: bytes, *, cut: bool = False) -> None:
        self._pieces = [*([data[:10]] if data else []), None if cut else data[10:], b""]

    async def read(self) -> bytes:
        """Give the next piece."""
        piece = self._pieces.pop(0)
        if piece is None:
            raise UploadCut("cut")
        return piece


class World:
    """A directory with buffers over it, and what ought to be in it: which form of which body is good."""

    def __init__(self, directory: Path, layout: Layout, buffers: Buffers) -> None:
        self.directory, self.layout, self.buffers = directory, layout, buffers
        self.good: dict[bytes, dict[Form, bool]] = {body: {} for body in BODIES}

    async def act(self, action: str, body: bytes, form: Form) -> None:
        """Do something to one form of a body, in the directory and in the model."""
        path = path_of(self.directory, self.layout, name(body), form)
        if action == "put":
            await self.buffers.intake.put(name(body), Sent(CODERS[form](body)), form)
            self.good[body][form] = True
            assert await self.buffers.intake.is_held(name(body), form)
        elif action == "put other":
            with pytest.raises(ChecksumMismatch):
                await self.buffers.intake.put(name(body), Sent(CODERS[form](body + b"?")), form)
        elif action == "cut":
            with pytest.raises(UploadCut):
                await self.buffers.intake.put(name(body), Sent(CODERS[form](body), cut=True), form)
        elif action == "delete":
            path.unlink(missing_ok=True)
            self.good[body].pop(form, None)
        else:
            write(path, CODERS[form](body if action == "write" else body[:-1] + b"!"))
            self.good[body][form] = action == "write"

    async def check(self, body: bytes, accepted: Form) -> None:
        """Ask for a body in all ways; what is said must be as in the model."""
        checksum, forms = name(body), self.good[body]
        if not any(forms.values()):
            with pytest.raises(BufferCorrupt if forms else BufferNotFound):
                await self.buffers.open(checksum, (accepted, Form.PLAIN))
        else:
            with closing(await self.buffers.open(checksum, (accepted, Form.PLAIN), seekable=True)) as blob:
                assert blob.file and blob.form in (accepted, Form.PLAIN)
                assert os.pread(blob.file.fileno(), 2**20, 0) == CODERS[blob.form](body)
        # Of files that nobody looked at, it is believed that they are good; here somebody did.
        assert await self.buffers.has([checksum, ABSENT]) == [any(forms.values()), False]
        if all(forms.values()):
            assert await self.buffers.sizes([checksum, ABSENT]) == [len(body) if forms else None, None]
        for each in FORMS:
            assert forms.get(each) or not await self.buffers.intake.is_held(checksum, each)


ACTIONS = st.sampled_from(["put", "put", "put other", "cut", "delete", "write", "corrupt"])
STEP = st.tuples(ACTIONS, st.sampled_from(BODIES), st.sampled_from(FORMS), st.sampled_from(FORMS))


@pytest.mark.parametrize("layout", [Layout.PREFIX, Layout.FLAT])
@settings(max_examples=15, deadline=None, database=None)
@given(steps=st.lists(STEP, min_size=20, max_size=60))
async def test_buffers_equal_a_dict(layout: Layout, steps: list[tuple[str, bytes, Form, Form]]) -> None:
    """Whatever we and other programs do to a directory, what is told and sent of it is right."""
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder), layout) as store:
            catalogue = SqliteCatalogue(f"{store.own_folder}/catalogue.sqlite", store.prepare, fsync=False)
            world = World(
                Path(folder), layout, Buffers(store, catalogue, Settings(directory=Path(folder), fsync=False))
            )
            for action, body, form, accepted in steps:
                await world.act(action, body, form)
                await world.check(body, accepted)
            world.buffers.close()
            await catalogue.close()
        assert not temps(Path(folder))

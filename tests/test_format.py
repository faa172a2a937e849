"""What a directory is found to be, and that it is never taken for something else."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from hashserver_aio.checksums import Algorithm
from hashserver_aio.errors import CannotStart, FormatConflict
from hashserver_aio.settings import Layout, Settings
from hashserver_aio.store.directory import DirectoryStore
from hashserver_aio.store.format import (
    HASHED_BYTES,
    Detected,
    Format,
    detect,
    read_format,
    record_format,
    settle,
)
from hashserver_aio.store.layout import VAULT_FOLDERS

from .conftest import Client, ClientFactory
from .servers import COMMAND, environment

MARKER = ".HASHSERVER_PREFIX"
HASHES: dict[Algorithm, Callable[[bytes], hashlib._Hash]] = {
    Algorithm.SHA3_256: hashlib.sha3_256,
    Algorithm.SHA_256: hashlib.sha256,
}
SHA3, SHA2 = Algorithm.SHA3_256, Algorithm.SHA_256
CODERS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".zst": zstd.compress, ".gz": gzip.compress}
BODIES = (b"one", b"two", b"three", b"four")


def plant(folder: Path, body: bytes, algorithm: Algorithm, *, prefix: bool = False, form: str = "") -> Path:
    """Write a buffer as another program would."""
    checksum = HASHES[algorithm](body).hexdigest()
    path = (folder / checksum[:2] if prefix else folder) / (checksum + form)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CODERS[form](body))
    return path


def vault(directory: Path) -> None:
    """Make the four folders of a vault."""
    for folder in VAULT_FOLDERS:
        (directory / folder).mkdir(parents=True)


def record(directory: Path, algorithm: Algorithm, layout: Layout) -> None:
    """Record a format as the first write does."""
    own = directory / ".hashserver-aio"
    own.mkdir(exist_ok=True)
    record_format(directory, Format(algorithm, layout), str(own / "scratch"), fsync=True)


def found(directory: Path) -> tuple[Layout | None, Algorithm | None]:
    """Detect layout and algorithm."""
    detected = detect(directory)
    return detected.layout, detected.algorithm


async def put(client: Client, body: bytes, algorithm: Algorithm = SHA3) -> int:
    """Store a body through a server; the status."""
    return (await client.put("/" + HASHES[algorithm](body).hexdigest(), data=body)).status


def test_empty_directory(directory: Path) -> None:
    """An empty directory shows nothing, and becomes what is asked for, else prefix and sha3-256."""
    nothing = Detected(None, None, None, holds_flat=False, holds_prefix=False)
    assert detect(directory) == nothing
    assert settle(directory, None, None) == Format(SHA3, Layout.PREFIX)
    assert settle(directory, Layout.FLAT, SHA2) == Format(SHA2, Layout.FLAT)


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("form", ["", ".zst", ".gz"])
@pytest.mark.parametrize("prefix", [False, True])
def test_detected_by_hashing(directory: Path, algorithm: Algorithm, form: str, prefix: bool) -> None:
    """Names tell the layout; hashing a few buffers, also compressed ones, tells the algorithm."""
    plant(directory, BODIES[0], algorithm, prefix=prefix, form=form)
    layout = Layout.PREFIX if prefix else Layout.FLAT
    assert found(directory) == (layout, algorithm)
    assert settle(directory, None, None) == Format(algorithm, layout)


def test_corrupt_sample(directory: Path) -> None:
    """A corrupt buffer among good ones misleads nobody."""
    for body in BODIES[:2]:
        plant(directory, body, SHA2)
    (directory / ("0" * 64)).write_bytes(b"not what its name says")
    detected = detect(directory)
    assert (detected.algorithm, detected.sampled, detected.matching) == (SHA2, 3, 2)


def test_marker_makes_it_prefix(directory: Path) -> None:
    """The marker that other programs decide by decides for us too, even where nothing else is."""
    (directory / MARKER).write_text("1\n")
    assert found(directory) == (Layout.PREFIX, None)
    plant(directory, BODIES[0], SHA2)
    assert detect(directory).holds_flat
    assert detect(directory).layout is Layout.PREFIX


def test_vault(directory: Path) -> None:
    """A directory with the four folders of a vault is one, also while it is empty."""
    vault(directory)
    assert found(directory) == (Layout.VAULT, None)
    plant(directory / VAULT_FOLDERS[3], BODIES[0], SHA2)
    assert found(directory) == (Layout.VAULT, SHA2)


def test_mixed(directory: Path) -> None:
    """What holds both flat and prefix buffers is refused, until somebody says which it is."""
    plant(directory, BODIES[0], SHA3)
    plant(directory, BODIES[1], SHA3, prefix=True)
    assert detect(directory).layout is None
    with pytest.raises(FormatConflict, match="both flat and in prefix folders; say --layout"):
        settle(directory, None, None)
    assert settle(directory, Layout.FLAT, None) == Format(SHA3, Layout.FLAT)
    assert settle(directory, Layout.PREFIX, None) == Format(SHA3, Layout.PREFIX)


def test_foreign_files_tell_nothing(directory: Path) -> None:
    """Files and folders that are no buffers do not make a directory something it is not."""
    (directory / "ab").mkdir()
    (directory / "ab" / ("cd" * 32)).write_bytes(b"in another one's folder")
    (directory / ("AB" * 32)).write_bytes(b"upper case")
    (directory / "notes.txt").write_bytes(b"notes")
    assert found(directory) == (None, None)


@pytest.mark.parametrize(
    ("layout", "algorithm", "words"),
    [
        (Layout.FLAT, None, "has the prefix layout, not flat: start with --layout prefix"),
        (Layout.VAULT, None, "has the prefix layout, not vault: start with --layout prefix"),
        (None, SHA2, "named by sha3-256, not sha-256: start with --hash-algorithm sha3-256"),
    ],
)
@pytest.mark.parametrize("recorded", [False, True])
def test_refusals(
    directory: Path, layout: Layout | None, algorithm: Algorithm | None, words: str, recorded: bool
) -> None:
    """Other options than the directory's format are refused with what it is and what to say."""
    if recorded:
        record(directory, SHA3, Layout.PREFIX)
    else:
        plant(directory, BODIES[0], SHA3, prefix=True)
    with pytest.raises(FormatConflict, match=words) as caught:
        settle(directory, layout, algorithm)
    assert str(directory) in str(caught.value)


def test_record_is_asked_first(directory: Path) -> None:
    """What is recorded holds, whatever foreign files suggest."""
    record(directory, SHA2, Layout.FLAT)
    plant(directory, BODIES[0], SHA3, prefix=True)
    assert settle(directory, None, None) == Format(SHA2, Layout.FLAT)
    assert os.listdir(directory / ".hashserver-aio") == ["format"]


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[]", "{}", '{"version": 2, "algorithm": "sha-256", "layout": "flat"}',
     '{"version": 1, "algorithm": "md5", "layout": "flat"}', '{"version": 1, "algorithm": "sha-256"}'],
)  # fmt: skip
def test_unreadable_record(directory: Path, text: str) -> None:
    """A record that is not understood is never guessed at, nor overwritten."""
    record(directory, SHA2, Layout.FLAT)
    path = directory / ".hashserver-aio" / "format"
    path.write_text(text)
    with pytest.raises(FormatConflict, match="can't be understood"):
        settle(directory, None, None)
    with pytest.raises(FormatConflict, match="can't be understood"):
        record(directory, SHA2, Layout.FLAT)
    assert path.read_text() == text


def test_refusal_of_the_command(directory: Path) -> None:
    """The command says it in one sentence, without a traceback, and exits with 1."""
    plant(directory, BODIES[0], SHA2)
    options = ("run", str(directory), "--port", "0", "--hash-algorithm", "sha3-256")
    ended = subprocess.run(
        (*COMMAND, *options), capture_output=True, text=True, env=environment(), timeout=30
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: ") and "start with --hash-algorithm sha-256" in ended.stderr
    assert ended.stderr.count("\n") == 1


async def test_start_leaves_the_marker_only(start_client: ClientFactory, directory: Path) -> None:
    """A started server has written the marker; its own folder comes with the first buffer."""
    client = await start_client()
    assert (await client.get("/" + "0" * 64)).status == 404
    assert os.listdir(directory) == [MARKER]
    assert (directory / MARKER).read_bytes() == b"1\n"
    assert await put(client, BODIES[0]) == 200
    assert read_format(directory) == Format(SHA3, Layout.PREFIX)


@pytest.mark.parametrize("settings", [{"writable": False}, {"layout": Layout.FLAT}])
async def test_start_without_a_marker(
    start_client: ClientFactory, directory: Path, settings: dict[str, object]
) -> None:
    """A read-only server writes nothing, and a flat directory gets no marker of the prefix layout."""
    await start_client(**settings)
    assert os.listdir(directory) == []


async def test_no_marker_beside_flat_buffers(start_client: ClientFactory, directory: Path) -> None:
    """The marker never appears beside flat buffers: other programs would not find them any more."""
    plant(directory, BODIES[0], SHA3)
    plant(directory, BODIES[1], SHA3, prefix=True)
    client = await start_client(layout=Layout.PREFIX)
    assert await put(client, BODIES[2]) == 200
    assert not (directory / MARKER).exists()
    await start_client(layout=Layout.PREFIX)  # now the format is recorded
    assert not (directory / MARKER).exists()


async def test_vault_is_read_only(start_client: ClientFactory, directory: Path) -> None:
    """A vault is served, and a start that wants to write it is refused."""
    vault(directory)
    plant(directory / VAULT_FOLDERS[1], BODIES[0], SHA3)
    store = DirectoryStore(Settings(directory=directory, writable=True))
    with pytest.raises(CannotStart, match="vault"):
        await store.start()
    await store.close()
    client = await start_client(writable=False)
    path = "/" + hashlib.sha3_256(BODIES[0]).hexdigest()
    assert await (await client.get(path)).read() == BODIES[0]


async def test_race_for_the_first_write(start_client: ClientFactory, directory: Path) -> None:
    """Of two servers that mean different formats, the first write decides; the other's are refused."""
    one, other = await start_client(algorithm=SHA3), await start_client(algorithm=SHA2)
    statuses = await asyncio.gather(put(one, BODIES[0]), put(other, BODIES[0], SHA2))
    assert sorted(statuses) == [200, 503]
    winner, loser = (SHA3, SHA2) if statuses[0] == 200 else (SHA2, SHA3)
    assert read_format(directory) == Format(winner, Layout.PREFIX)
    refused = other if winner is SHA3 else one
    assert await put(refused, BODIES[1], loser) == 503
    assert len([folder for folder in os.listdir(directory) if len(folder) == 2]) == 1


async def test_loser_of_the_race_harms_nothing(start_client: ClientFactory, directory: Path) -> None:
    """A server that means another format never puts good buffers of the directory aside as corrupt."""
    one = await start_client(algorithm=SHA3)
    other = await start_client(algorithm=SHA2, lock_timeout_s=0.01)
    assert await put(one, BODIES[0]) == 200
    path = plant(directory, BODIES[1], SHA3, prefix=True)
    await asyncio.sleep(0.05)
    assert (await other.get("/" + path.name)).status >= 400
    assert await (await one.get("/" + path.name)).read() == BODIES[1]


async def test_big_buffers_only(start_client: ClientFactory, directory: Path) -> None:
    """A directory whose buffers are all big is not taken for one of another algorithm."""
    body = bytes(17 * 1024 * 1024)
    path = plant(directory, body, SHA2, prefix=True)
    await asyncio.sleep(0.05)
    client = await start_client(lock_timeout_s=0.01)
    response = await client.get("/" + path.name)
    assert (response.status, len(await response.read())) == (200, len(body))


def test_nothing_to_tell_the_algorithm_by(directory: Path) -> None:
    """Where no buffer hashes to its name, or all are too big to be hashed, somebody has to say it."""
    (directory / ("0" * 64)).write_bytes(b"not what its name says")
    with open(directory / ("1" * 64), "wb") as file:
        file.truncate(HASHED_BYTES + 1)
    with pytest.raises(FormatConflict, match="say --hash-algorithm"):
        settle(directory, None, None)
    assert settle(directory, None, SHA2) == Format(SHA2, Layout.FLAT)


def test_record_is_json(directory: Path) -> None:
    """The record tells a person and another program what the directory is."""
    record(directory, SHA2, Layout.FLAT)
    text = (directory / ".hashserver-aio" / "format").read_text()
    assert json.loads(text) == {"version": 1, "algorithm": "sha-256", "layout": "flat"}

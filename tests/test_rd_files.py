"""The real `rd` 1.7.0.0 downloads files of the web-root."""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
import random
import signal
import subprocess
from pathlib import Path

import pytest

from .conftest import ClientFactory, ServerFactory
from .manifests import FileTurns
from .servers import RunningServer
from .test_rd import BLOCK, blocks_of, ended, make, rd

BODY = random.Random(4).randbytes(3 * BLOCK)
OTHER = BODY[::-1]
COUNT = len(BODY) // 65536

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="rd is a program for x86-64")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A web-root with a folder, and a file beside it."""
    root = tmp_path / "www"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"nobody's business")
    return root


@pytest.fixture
def server(start_server: ServerFactory, directory: Path, root: Path) -> RunningServer:
    """A server with the web-root, and small blocks."""
    return start_server(directory, "--web-root", str(root), "--block-size", "64K")


def lay(path: Path, body: bytes) -> None:
    """Put a file in place, in one step; it looks old, but was changed just now."""
    aside = path.with_name(".aside")
    aside.write_bytes(body)
    os.utime(aside, (1e9, 1e9))
    aside.rename(path)


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, len(BODY)])
async def test_download(
    start_server: ServerFactory, directory: Path, root: Path, tmp_path: Path, size: int
) -> None:
    """It gets what is asked for, whatever lies at the edge of a block."""
    lay(root / "sub" / "file", BODY[:size])
    server = start_server(directory, "--writable", "--web-root", str(root))
    code, said = await ended(rd(tmp_path / "here", f"{server.url}/sub/file"))
    assert code == 0, said
    assert (tmp_path / "here" / "file").read_bytes() == BODY[:size]
    assert blocks_of(said) == set(range(-(-size // BLOCK)))


NAMES = ["a b c.bin", "grüße.txt", "日本語", "\U0001f40d.py", "a+b&c", "a;b=c,d", "'x'", "(~)!$*@"]
"""As somebody types them: rd encodes them, and looks for the blocks under what was typed."""


@pytest.mark.parametrize("folder", ["", "grün ö/tief er/"])
async def test_names(server: RunningServer, root: Path, tmp_path: Path, folder: str) -> None:
    """Blanks, and letters and signs of every kind, are found in whatever folder they are."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(NAMES):
        lay(root / folder / name, BODY[number : number + 100_000])
    urls = [f"{server.url}/{folder}{name}" for name in NAMES]
    code, said = await ended(rd(tmp_path / "here", *urls))
    assert code == 0, said
    for number, name in enumerate(NAMES):
        assert (tmp_path / "here" / name).read_bytes() == BODY[number : number + 100_000]


async def test_many_at_once(server: RunningServer, root: Path, tmp_path: Path) -> None:
    """Ten of them, of five files each, get all of them."""
    bodies = {f"sub/f {number}": BODY[number:BLOCK] for number in range(5)}
    for name, body in bodies.items():
        lay(root / name, body)
    urls = [f"{server.url}/{name}" for name in bodies]
    folders = [tmp_path / f"here-{number}" for number in range(10)]
    for code, said in await asyncio.gather(*(ended(rd(folder, *urls)) for folder in folders)):
        assert code == 0, said
    for folder in folders:
        assert [(folder / Path(name).name).read_bytes() for name in bodies] == [*bodies.values()]


async def test_refused(server: RunningServer, root: Path, tmp_path: Path) -> None:
    """Of folders, of what is absent or hidden, and of what lies outside, it says that it can't have it."""
    (root / ".hid").write_bytes(b"x")
    (root / "out").symlink_to("../secret")
    for path in ("sub", "sub/", "nothing", ".hid", "out", "%2e%2e/secret", "sub/../../secret", "has"):
        code, said = await ended(rd(tmp_path / "here", f"{server.url}/{path}"))
        assert code == 1 and "GET /rd/ api failed: " in said and "json" not in said, path
    assert not any(path.is_file() for path in (tmp_path / "here").rglob("*"))


async def until_fetched(process: subprocess.Popen[str], count: int) -> int:
    """Read what it says until it has fetched so many blocks."""
    assert process.stdout is not None
    fetched = 0
    while fetched < count:
        line = await asyncio.to_thread(process.stdout.readline)
        assert line, "it ended too early"
        fetched += "fetched" in line
    return fetched


async def test_resumed(server: RunningServer, root: Path, tmp_path: Path) -> None:
    """Killed in the middle and started again, it goes on with the blocks that it does not have."""
    lay(root / "sub" / "f", BODY)
    url = f"{server.url}/sub/f"
    process = rd(tmp_path / "here", url)
    fetched = await until_fetched(process, COUNT // 2)
    # It takes what it was writing when it was killed for whole: so it is killed while nothing comes.
    server.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(0.5)
    process.kill()
    server.process.send_signal(signal.SIGCONT)
    await ended(process)
    code, said = await ended(rd(tmp_path / "here", url))
    assert code == 0, said
    assert (tmp_path / "here" / "f").read_bytes() == BODY
    assert 0 < len(blocks_of(said)) <= COUNT - fetched


async def test_changed_between(server: RunningServer, root: Path, tmp_path: Path) -> None:
    """If the file changes while it is stopped, it takes nothing of the old one for the new one."""
    lay(root / "f", BODY)
    process = rd(tmp_path / "here", f"{server.url}/f")
    await until_fetched(process, COUNT // 2)
    process.kill()
    await ended(process)
    lay(root / "f", OTHER)
    code, said = await ended(rd(tmp_path / "here", f"{server.url}/f"))
    assert code == 0, said
    assert (tmp_path / "here" / "f").read_bytes() == OTHER
    assert blocks_of(said) == set(range(COUNT))


@pytest.mark.parametrize("how", ["replaced", "written to"])
async def test_changed_while_downloaded(server: RunningServer, root: Path, tmp_path: Path, how: str) -> None:
    """If the file changes while it is downloaded no mixture comes of it; the next time it has the new one."""
    lay(root / "f", BODY)
    process = rd(tmp_path / "here", "--block-max-retry", "0", f"{server.url}/f")
    await until_fetched(process, 5)
    server.process.send_signal(signal.SIGSTOP)
    if how == "replaced":
        lay(root / "f", OTHER)
    else:
        (root / "f").write_bytes(OTHER)
    server.process.send_signal(signal.SIGCONT)
    await ended(process)
    got = tmp_path / "here" / "f"
    assert not got.exists() or got.read_bytes() in (BODY, OTHER)
    code, said = await ended(rd(tmp_path / "here", "--force", f"{server.url}/f"))
    assert code == 0, said
    assert got.read_bytes() == OTHER


async def test_changed_while_digested(
    start_client: ClientFactory, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the file changes when some blocks were told, it ends with the new one, or says that it failed."""
    turns = FileTurns(monkeypatch)
    lay(root / "f", BODY)
    client = await start_client(web_root=root, block_size=65536)
    process = rd(tmp_path / "here", "--block-max-retry", "0", str(client.make_url("/f")))
    await until_fetched(process, COUNT // 2)  # of 64 blocks that one turn reads
    lay(root / "f", OTHER)
    turns.go_on()
    code, said = await ended(process)
    got = tmp_path / "here" / "f"
    assert (got.read_bytes() == OTHER) if code == 0 else not got.exists() or not got.stat().st_size, said
    code, said = await ended(rd(tmp_path / "here", "--force", str(client.make_url("/f"))))
    assert code == 0, said
    assert got.read_bytes() == OTHER


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_large(start_server: ServerFactory, directory: Path, root: Path, tmp_path: Path) -> None:
    """It gets 3 GiB, in blocks of the usual size."""
    await asyncio.to_thread(make, root / "large", 3 * 2**30)
    server = start_server(directory, "--web-root", str(root))
    process = rd(tmp_path / "here", "--rolling-combine", f"{server.url}/large")
    said, _ = await asyncio.to_thread(process.communicate, timeout=1500)
    assert process.returncode == 0, said[-2000:]
    digests = []
    for path in (root / "large", tmp_path / "here" / "large"):
        with path.open("rb") as file:
            digests.append((await asyncio.to_thread(hashlib.file_digest, file, "sha256")).digest())
    assert digests[0] == digests[1]
    (tmp_path / "here" / "large").unlink()

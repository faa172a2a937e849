"""Names as the system knows them; and name servers that do not answer."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hashserver_aio.fetching import fetcher as fetcher_module
from hashserver_aio.fetching import lookups
from hashserver_aio.fetching.tls import TlsOptions

from .fetches import Memory, asked, code_of, fetcher, hello, target

TIMEOUTS = {"TimeoutError", "ConnectionTimeoutError"}


@pytest.fixture
def silent_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Have a name server that is never heard of, for all of slow.example; who was asked for."""
    over, asked_for, real = threading.Event(), list[str](), socket.getaddrinfo

    def ask(host: Any, *args: Any, **more: Any) -> Any:
        if not str(host).endswith(".slow.example"):
            return real(host, *args, **more)
        asked_for.append(host)
        over.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    yield asked_for
    over.set()


async def test_slow_names(silent_names: list[str]) -> None:
    """A name server that does not answer holds up a fetch for its time, and nobody else."""
    async with target({"/": hello}) as url, fetcher(Memory(), "localhost", "127.0.0.1") as fetch:
        hanging = [
            asyncio.create_task(fetch.wget(asked(f"http://n{number}.slow.example/", timeout=60)))
            for number in range(40)
        ]
        for _ in range(1000):
            await asyncio.sleep(0 if len(silent_names) == 40 else 0.02)
        assert len(silent_names) == 40
        begin = time.monotonic()
        for there in (url, url.replace("127.0.0.1", "localhost")):
            assert (await fetch.wget(asked(there)))["code"] == 200
            assert (await fetch.wget(asked(there, ssl=False)))["code"] == 200  # TLS of its own
        assert time.monotonic() - begin < 15
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_so_many_lookups(silent_names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No more threads than these wait, though nobody waits for them; who comes then has its time, too."""
    monkeypatch.setattr(lookups, "MAX_LOOKUPS", 3)
    async with fetcher(Memory()) as fetch:
        assert code_of(await fetch.wget(asked("http://127.0.0.1/"))) == "AddressRefused"  # has loaded the CAs
        for number in range(6):
            info = await fetch.wget(asked(f"http://n{number}.slow.example/", timeout=0.5))
            assert code_of(info) in TIMEOUTS
    assert len(silent_names) == 3


async def test_names_without_a_form() -> None:
    """A name that can't even be asked for is one that is not there."""
    async with fetcher(Memory()) as fetch:
        for host in ("a..example", f"{'a' * 64}.example", f"{'a.' * 200}example"):
            info = await fetch.wget(asked(f"http://{host}/"))
            assert code_of(info) in {"ClientConnectorDNSError", "InvalidUrlClientError"}, info


async def test_slow_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the certificates of a fetch are loaded within its time."""
    over = threading.Event()

    def make_context(options: TlsOptions) -> None:
        over.wait(10)

    monkeypatch.setattr(fetcher_module, "make_context", make_context)
    async with fetcher(Memory()) as fetch:
        begin = time.monotonic()
        info = await fetch.wget(asked("https://127.0.0.1/", timeout=0.2))
        assert (code_of(info), time.monotonic() - begin < 5) == ("TimeoutError", True)
        over.set()


def test_the_end_of_the_process() -> None:
    """A process that ends does not wait for a name server."""
    code = (
        "import asyncio, socket, time\n"
        "socket.getaddrinfo = lambda *args, **more: time.sleep(60)\n"
        "from tests.test_fetch_lookups import once\n"
        "print(asyncio.run(once()))\n"
    )
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout.strip() in TIMEOUTS, done.stderr
    assert time.monotonic() - begin < 30


async def once() -> str:
    """Fetch from a name; what went wrong."""
    async with fetcher(Memory()) as fetch:
        return code_of(await fetch.wget(asked("http://n.slow.example/", timeout=0.2)))

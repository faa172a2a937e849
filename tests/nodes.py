"""What tests of nodes share: a server that nodes register at, which asks them what a server asks."""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession, web
from multidict import CIMultiDict
from yarl import URL

from hashserver_aio.errors import BadSignature
from hashserver_aio.nodes.keys import KeyPair
from hashserver_aio.nodes.messages import Message, Numbers, check, headers_for
from hashserver_aio.settings import Holding
from hashserver_aio.store.files import OWN_FOLDER

from .conftest import Client, ClientFactory

ALGORITHM = "sha3-256"


class Told(dict[str, Any]):
    """What a node said: `call` is which way, `by` which key."""


class Overseer:
    """A server of nodes, as far as a node sees it: who it is, and whatever it answers to calls.

    `said` is what nodes said, in order; `answers`: by call, what to answer, the last one for ever.
    """

    def __init__(self, pair: KeyPair | None = None, algorithm: str = ALGORITHM) -> None:
        self.pair = pair or KeyPair.make()
        self.algorithm = algorithm
        self.url = ""
        self.said: asyncio.Queue[Told] = asyncio.Queue()
        self.answers: dict[str, list[tuple[int, object]]] = {
            "register": [(200, {})],
            "ping": [(200, {"next_ping_s": 3600})],
        }
        self._numbers = Numbers(time.time)

    async def about(self, request: web.Request) -> web.Response:
        """Say who this is."""
        return web.json_response({"key": self.pair.id, "algorithm": self.algorithm})

    async def hear(self, request: web.Request) -> web.Response:
        """Hear a node, which signs what it says."""
        body = await request.read()
        message = Message(request.method, request.raw_path, "", request.headers)
        try:
            signed = check(message, self.pair.public, time.time(), has_body=True)
        except BadSignature as error:
            return web.json_response({"error": "BadSignature", "message": str(error)}, status=401)
        call = request.match_info["call"]
        await self.said.put(Told(await request.json(), call=call, by=signed.key, bytes=body))
        answers = self.answers[call]
        status, answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return web.json_response(answer, status=status)

    async def hears(self, call: str, within_s: float = 20) -> Told:
        """Wait for the next thing that a node says; it has to be this call."""
        told = await asyncio.wait_for(self.said.get(), within_s)
        assert told["call"] == call
        return told

    def headers(
        self,
        node: bytes,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        pair: KeyPair | None = None,
        now_s: float | None = None,
    ) -> dict[str, str]:
        """Sign a request to the node that has a key."""
        path, _, query = path.partition("?")
        digest = None if body is None else hashlib.sha256(body).digest()
        now_s = time.time() if now_s is None else now_s
        number = self._numbers.next() if now_s > time.time() - 1 else int(now_s * 1_000_000)
        return headers_for(pair or self.pair, node, method, path, query, number, now_s, digest)


@asynccontextmanager
async def overseeing(overseer: Overseer, port: int = 0) -> AsyncIterator[Overseer]:
    """Run a server of nodes."""
    app = web.Application()
    app.add_routes(
        [web.get("/api/nodes/server", overseer.about), web.post("/api/nodes/{call}", overseer.hear)]
    )
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    overseer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield overseer
    finally:
        await runner.cleanup()


class Asker:
    """Asks a node, at a URL, as its server does."""

    def __init__(self, overseer: Overseer, node: bytes, url: str, session: ClientSession) -> None:
        self.overseer = overseer
        self.node = node
        self.url = url
        self.session = session

    async def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[ClientResponse, bytes]:
        """Ask for something, signed: the answer, and its body."""
        given: CIMultiDict[str] = CIMultiDict(self.overseer.headers(self.node, method, path, body))
        given.update({name.replace("_", "-"): value for name, value in headers.items()})
        return await self.send(method, path, body, given)

    async def send(
        self, method: str, path: str, body: bytes | None, headers: Any
    ) -> tuple[ClientResponse, bytes]:
        """Send a request as it is."""
        url = URL(self.url + path, encoded=True)
        data = None if body is None else io.BytesIO(body)
        async with self.session.request(method, url, data=data, headers=headers) as answer:
            return answer, await answer.read()


async def asker_of(
    overseer: Overseer, start_client: ClientFactory, directory: Path, **more: Any
) -> tuple[Asker, Client]:
    """Start a node in this process: who asks it as its server, and a client as anybody has one."""
    key = directory / OWN_FOLDER / "node-key.pem"
    settings = {name: more.pop(name) for name in ("capacity", "payout_address") if name in more}
    holding = Holding(server=overseer.url, key=key, public_url="http://127.0.0.1:1", **settings)
    client = await start_client(holding=holding, **more)
    node = KeyPair.load_or_make(key).public
    return Asker(overseer, node, str(client.make_url("")).rstrip("/"), client.session), client

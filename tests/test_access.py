"""Who may do what: every route, with every kind of credentials; and what is never told."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from hashserver_aio import access as access_room
from hashserver_aio import create_app
from hashserver_aio.catalogue.nodes import Announcement
from hashserver_aio.passwords import digest_of
from hashserver_aio.server.keys import NODES
from hashserver_aio.settings import Settings

from .conftest import Client, ClientFactory, ServerFactory
from .credentials import HASHES, KEYS, PASSWORDS, PERMISSIONS, WRONG, basic, credentials, text_of, write
from .node_calls import LOCAL
from .peers import Peer
from .routes import BODIES, BODY, NAME, NODE, OF_NODES, OTHER, ROUTES, SIGNED, template_of

EVERY = ROUTES | OF_NODES


@pytest.fixture
def auth_file(tmp_path: Path) -> Path:
    """An access file with a reader, a writer and nobody, each as a user and as a key."""
    path = tmp_path / "auth.toml"
    path.write_text(text_of())
    return path


@pytest.fixture
async def guarded_client(start_client: ClientFactory, auth_file: Path) -> Client:
    """A client of a server with that file, and the buffers that are asked for."""
    client = await start_client(auth_file=auth_file, allow_delete=True, allow_fetch=True, nodes=LOCAL)
    assert client.app is not None
    said = Announcement(bytes.fromhex(NODE), "http://127.0.0.1:1", "", 1000, message=1, at_ms=1)
    await client.app[NODES].register(said)
    for body in (BODY, b"another"):
        await client.put("/api/v1/axon/files/put", data=body, headers=credentials("writer", "bearer"))
    return client


AXON = "/api/v1/axon/"


async def ask(
    client: Client, method: str, path: str, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    """Send what a route takes; its answer."""
    data, kind = BODIES.get(path, (None, ""))
    given = headers | ({"Content-Type": kind} if kind else {})
    async with client.request(method, path, data=data, headers=given) as answer:
        return answer.status, dict(answer.headers), await answer.read()


def test_every_route_is_here(directory: Path) -> None:
    """A new route comes with what it needs."""
    app = create_app(Settings(directory=directory, nodes=LOCAL))
    routes = {(r.method, r.resource.canonical) for r in app.router.routes() if r.resource}
    named = {(method, template_of(path)) for method, path in EVERY} | SIGNED
    assert routes == named | {
        ("HEAD", path) for method, path in named if method == "GET" and ("HEAD", path) in routes
    }


@pytest.mark.parametrize("kind", ["basic", "bearer", "api key"])
@pytest.mark.parametrize("user", PERMISSIONS)
async def test_right_credentials(guarded_client: Client, user: str, kind: str) -> None:
    """With credentials of whatever kind one may do what the file says, and gets 403 for all else."""
    for (method, path), needed in EVERY.items():
        status, headers, body = await ask(guarded_client, method, path, credentials(user, kind))
        if set(needed.split()) <= set(PERMISSIONS[user]) or "admin" in PERMISSIONS[user]:
            assert status in (200, 202), (method, path)
        else:
            assert status == 403
            assert method == "HEAD" or (b"AuthDeny" if path.startswith(AXON) else b"NotPermitted") in body
        assert "WWW-Authenticate" not in headers


@pytest.mark.parametrize("how", WRONG)
async def test_wrong_credentials(guarded_client: Client, how: str) -> None:
    """Without credentials, or with wrong ones, every route is closed, and says what it takes."""
    for (method, path), needed in EVERY.items():
        status, headers, body = await ask(guarded_client, method, path, WRONG[how])
        if not needed:
            assert status == 200
            continue
        challenge = "realm=synapse" if path.startswith(AXON) else 'realm="hashserver-aio", charset="UTF-8"'
        assert (status, headers["WWW-Authenticate"]) == (401, f"Basic {challenge}")
        assert method == "HEAD" or b"NotAuthenticated" in body
        assert headers["Cache-Control"] == "no-store"


async def test_refused_before_the_body(guarded_client: Client) -> None:
    """Whoever may not write is told so before the body is sent."""
    sent = 0

    async def endless() -> object:
        nonlocal sent
        while True:
            yield bytes(1000)
            sent += 1
            await asyncio.sleep(0.01)

    headers = {"Expect": "100-continue", "Content-Length": str(10**9)}
    answer = await guarded_client.put(f"/{OTHER}", data=endless(), headers=headers)
    assert (answer.status, sent) == (401, 0)


async def test_everybody_may_read(guarded_client: Client, auth_file: Path) -> None:
    """What [anonymous] allows needs no credentials; but wrong ones are wrong."""
    write(auth_file, text_of('[anonymous]\npermissions = ["read"]'))
    await asyncio.sleep(access_room.FRESH_S + 0.1)
    assert (await ask(guarded_client, "GET", f"/{NAME}", {}))[2] == BODY
    assert (await ask(guarded_client, "PUT", f"/{OTHER}", {}))[0] == 401
    assert (await ask(guarded_client, "GET", f"/{NAME}", WRONG["wrong key"]))[0] == 401
    assert (await ask(guarded_client, "PUT", f"/{OTHER}", credentials("writer", "basic")))[0] == 200


@pytest.mark.parametrize("is_public", [True, False])
async def test_caches(guarded_client: Client, auth_file: Path, is_public: bool) -> None:
    """Caches that others use may keep a buffer only while reading needs no credentials."""
    if is_public:
        write(auth_file, text_of('[anonymous]\npermissions = ["read"]'))
        await asyncio.sleep(access_room.FRESH_S + 0.1)
    word = "public" if is_public else "private"
    for headers in ({}, {"If-None-Match": f'"{NAME}"'}, {"Range": "bytes=1-2"}):
        given = headers | ({} if is_public else credentials("reader", "bearer"))
        assert (await ask(guarded_client, "GET", f"/{NAME}", given))[1]["Cache-Control"].startswith(word)


async def test_fast_path_is_closed_with_the_door(guarded_client: Client, auth_file: Path) -> None:
    """A hot buffer that everybody could read is refused a second after that is taken back."""
    write(auth_file, text_of('[anonymous]\npermissions = ["read"]'))
    await asyncio.sleep(access_room.FRESH_S + 0.1)
    for _ in range(5):
        assert (await ask(guarded_client, "GET", f"/{NAME}", {}))[0] == 200
    write(auth_file, text_of())
    await asyncio.sleep(access_room.FRESH_S + 0.1)
    assert (await ask(guarded_client, "GET", f"/{NAME}", {}))[0] == 401
    given = credentials("reader", "basic")
    assert [(await ask(guarded_client, "GET", f"/{NAME}", given))[0] for _ in range(5)] == [200] * 5
    assert (await ask(guarded_client, "GET", f"/{NAME}", {}))[0] == 401


async def test_reload(guarded_client: Client, auth_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A change counts within a second; a file that is wrong, or gone, changes nothing."""
    await ask(guarded_client, "GET", f"/{NAME}", credentials("reader", "basic"))
    for text in ("[users", None):
        write(auth_file, text)
        await asyncio.sleep(access_room.FRESH_S + 0.1)
        assert (await ask(guarded_client, "GET", f"/{NAME}", credentials("reader", "basic")))[0] == 200
        assert "what it said before still holds" in caplog.text
        caplog.clear()
    write(auth_file, text_of().replace("reader", "another"))
    await asyncio.sleep(access_room.FRESH_S + 0.1)
    assert (await ask(guarded_client, "GET", f"/{NAME}", credentials("reader", "basic")))[0] == 401
    assert (await ask(guarded_client, "GET", f"/{NAME}", basic("another", PASSWORDS["reader"])))[0] == 200


async def test_nothing_secret_is_told(start_server: ServerFactory, directory: Path, auth_file: Path) -> None:
    """Neither logs nor answers tell passwords, keys, hashes of them, or the file's path."""
    server = start_server(
        directory, "--writable", "--auth-file", str(auth_file), "--access-log", "--log-level", "debug"
    )
    peer, told = Peer(server.url), []
    tried = [credentials("reader", kind) for kind in ("basic", "bearer", "api key")] + list(WRONG.values())
    for headers in tried:
        for method, path in ROUTES:
            async with peer.session.request(method, path, headers=headers, data=b"[") as answer:
                told.append(await answer.text() + str(answer.headers))
    await peer.session.close()
    write(auth_file, '[users.x]\npassword = "secret: of reader"\npermissions = []')
    await asyncio.sleep(1.2)
    secret = [
        *PASSWORDS.values(),
        *KEYS.values(),
        *HASHES.values(),
        *(digest_of(k).hex() for k in KEYS.values()),
    ]
    secret += [value.split(" ")[-1] for given in tried for value in given.values() if len(value) > 8]
    server.stop()
    for text in [*told, *server.lines]:
        assert not [each for each in secret if each in text]
    assert str(auth_file) not in "".join(told)


async def test_a_flood_of_passwords(guarded_client: Client) -> None:
    """Who guesses passwords by the hundred is told to come again, and holds up nobody else."""

    async def guess(number: int) -> int:
        return (await ask(guarded_client, "GET", f"/{NAME}", basic("reader", f"guess {number}")))[0]

    guesses = asyncio.gather(*(guess(number) for number in range(200)))
    await asyncio.sleep(0.3)
    began = time.monotonic()
    status, _, _ = await ask(guarded_client, "GET", f"/{NAME}", credentials("reader", "bearer"))
    assert status == 200 and time.monotonic() - began < 2
    statuses = await guesses
    assert set(statuses) == {401, 503} and statuses.count(503) > 50

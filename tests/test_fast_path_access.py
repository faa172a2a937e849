"""The fast path where who asks matters: it answers as ever, whom ever, and no longer than ever."""

from __future__ import annotations

import re
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from hashserver_aio import access as access_room
from hashserver_aio.passwords import Scrypt, digest_of

from .axon import sha256
from .conftest import Client, ClientFactory
from .credentials import HASHES, KEYS, PASSWORDS, WRONG, credentials, text_of, write
from .crews import crew_on
from .fast import Clock, count_answers, name_of, ordinary_answer, path_of, stored
from .wire import Wire, get, normal, status_of

BODY = b"some buffer"
NAME = name_of(BODY)
EVERYBODY = '[anonymous]\npermissions = ["read"]'
KINDS = ["basic", "bearer", "api key"]


@pytest.fixture
def auth_file(tmp_path: Path) -> Path:
    """An access file by which nobody reads without credentials."""
    path = tmp_path / "auth.toml"
    write(path, text_of())
    return path


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The requests that the fast path answered."""
    return count_answers(monkeypatch)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the fast path and of the access file."""
    return Clock(monkeypatch, access_room)


@pytest.fixture
async def guarded(start_client: ClientFactory, auth_file: Path) -> Client:
    """A server that holds the buffer, for those whom the access file lets in."""
    client = await start_client(auth_file=auth_file)
    await stored(client, BODY, *lines(credentials("writer", "bearer")))
    return client


def lines(headers: dict[str, str]) -> list[str]:
    """Write headers as a request has them."""
    return [f"{name}: {value}" for name, value in headers.items()]


def asked(user: str, kind: str = "bearer", path: str = NAME) -> bytes:
    """Word somebody's GET."""
    return get(path, *lines(credentials(user, kind)))


async def hot(client: Client, *requests: bytes) -> Wire:
    """Connect, and ask each until the fast path may know it."""
    wire = await Wire.to(client)
    for request in requests * 3:
        await wire.ask(request)
    return wire


@pytest.mark.parametrize("anonymous", ["", EVERYBODY], ids=["private", "public"])
@pytest.mark.parametrize("face", ["", "api/v1/axon/files/by/sha256/", "api/v1/axon/files/has/sha256/"])
@pytest.mark.parametrize("kind", KINDS)
async def test_same_answer(
    start_client: ClientFactory, auth_file: Path, monkeypatch: pytest.MonkeyPatch, answered: list[bytes],
    kind: str, face: str, anonymous: str,
) -> None:  # fmt: skip
    """Whoever may read is answered the fast way, to the byte as the ordinary way answers."""
    write(auth_file, text_of(anonymous))
    client = await start_client(auth_file=auth_file)
    for body in (BODY, b"x" * 65_536, b"y" * 300_000):
        await stored(client, body, *lines(credentials("mover", kind)))
        request = asked("reader", kind, face + (sha256(body) if face else name_of(body)))
        answered.clear()
        wire = await Wire.to(client)
        answers = {normal(await wire.ask(request)) for _ in range(4)}
        assert answered == [request] * 2
        assert answers == {await ordinary_answer(start_client, monkeypatch, request, auth_file=auth_file)}
        wire.transport.abort()


@pytest.mark.parametrize("anonymous", ["", EVERYBODY], ids=["private", "public"])
@pytest.mark.parametrize("how", WRONG)
async def test_wrong_credentials(
    start_client: ClientFactory, auth_file: Path, monkeypatch: pytest.MonkeyPatch, answered: list[bytes],
    clock: Clock, guarded: Client, how: str, anonymous: str,
) -> None:  # fmt: skip
    """Wrong credentials are refused in the ordinary words, however hot the buffer is for others."""
    write(auth_file, text_of(anonymous))
    clock.ahead_s += access_room.FRESH_S
    wire = await hot(guarded, asked("reader", "basic"), asked("reader"))
    answered.clear()
    headers = [line.encode("utf-8", "surrogateescape").decode("latin-1") for line in lines(WRONG[how])]
    request = get(NAME, *headers)
    answers = {normal(await wire.ask(request)) for _ in range(3)}
    assert answers == {await ordinary_answer(start_client, monkeypatch, request, auth_file=auth_file)}
    is_right = how == "none" and anonymous
    assert {status_of(each) for each in answers} == ({200} if is_right else {401})
    assert len(answered) == (3 if is_right else 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_users_of_one_connection(guarded: Client, answered: list[bytes], kind: str) -> None:
    """Each request is judged by its own credentials, one after the other or sent together."""
    users = {"reader": 200, "writer": 403, "admin": 200, "nobody": 403}
    requests = [*(asked(user, kind) for user in users), get(NAME)]
    expected = [*users.values(), 401]
    wire = await hot(guarded, *requests)
    for _ in range(3):
        answered.clear()
        assert [status_of(await wire.ask(request)) for request in requests] == expected
        assert answered == [requests[0], requests[2]]
        await wire.send(b"".join(requests))
        assert [status_of(await wire.answer()) for _ in requests] == expected


def changed(text: str, how: str) -> str:
    """Take back in an access file what it says of the reader."""
    if how == "gone":
        return re.sub(r"\[\w+\.reader\]\n.*\n.*\n", "", text)
    if how == "may no more":
        return text.replace("['read']", "[]")
    text = text.replace(digest_of(KEYS["reader"]).hex(), digest_of("new").hex())
    return text.replace(HASHES["reader"], str(Scrypt.of("new")))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("how", "status"), [("gone", 401), ("may no more", 403), ("new secret", 401)])
async def test_taken_back(
    guarded: Client, auth_file: Path, clock: Clock, answered: list[bytes], kind: str, how: str, status: int
) -> None:
    """Who was let in is refused once the file says so, and let in again when it says that."""
    request = asked("reader", kind)
    wire = await hot(guarded, request)
    for text, expected in ((changed(text_of(), how), status), (text_of(), 200)):
        write(auth_file, text)
        clock.ahead_s += access_room.FRESH_S
        answered.clear()
        assert [status_of(await wire.ask(request)) for _ in range(3)] == [expected] * 3
        assert len(answered) == (3 if expected == 200 else 0)


async def test_checked_anew(
    guarded: Client, clock: Clock, answered: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password is checked again after five minutes, however often it was used meanwhile."""
    hashed, fits = list[str](), Scrypt.fits

    def counted(scrypt: Scrypt, password: str) -> bool:
        hashed.append(password)
        return fits(scrypt, password)

    monkeypatch.setattr(Scrypt, "fits", counted)
    request = asked("reader", "basic")
    wire = await hot(guarded, request)
    for _ in range(3):
        answered.clear()
        clock.ahead_s += access_room.REMEMBERED_S - 10
        assert status_of(await wire.ask(request)) == 200 and len(answered) == 1
        clock.ahead_s += 11
        for _ in range(3):
            assert status_of(await wire.ask(request)) == 200
        assert len(answered) == 3
    assert hashed == [PASSWORDS["reader"]] * 4


async def test_caches(guarded: Client, auth_file: Path, clock: Clock, answered: list[bytes]) -> None:
    """What was kept for those with credentials is never what everybody gets, nor the other way round."""
    reader, anybody = asked("reader"), get(NAME)
    wire = await hot(guarded, reader, anybody)
    for anonymous, word in ((EVERYBODY, b"public"), ("", b"private"), (EVERYBODY, b"public")):
        write(auth_file, text_of(anonymous))
        clock.ahead_s += access_room.FRESH_S
        answered.clear()
        for request in (reader, anybody) * 2:
            told = await wire.ask(request)
            assert status_of(told) == (200 if anonymous or request is reader else 401)
            assert status_of(told) == 401 or b"\r\nCache-Control: %b, max" % word in told
        assert len(answered) == (4 if anonymous else 2)


async def test_nothing_secret_is_kept(guarded: Client, answered: list[bytes]) -> None:
    """No credentials are kept as they came, right or wrong, nor in a head that holds other things too."""
    requests = [asked("reader", kind) for kind in KINDS]
    requests += [
        get(NAME, *lines(WRONG["wrong password"])),
        get(NAME, "X-API-KEY: wrong", "Range: bytes=0-1"),
    ]
    requests.append(get(NAME, "Cookie: session=wrong"))
    await hot(guarded, *requests)
    assert len(answered) > 3
    audiences = path_of(guarded)._audiences
    kept = [*audiences._open, *audiences._sealed, *path_of(guarded)._answers]
    secrets = [line.split(" ")[-1] for r in requests for line in r.decode().split("\r\n")[2:-2]]
    assert len(secrets) == 7 and not [s for s in secrets for key in kept if s.encode() in key]


async def test_guesses_are_not_kept(guarded: Client, answered: list[bytes]) -> None:
    """Who guesses keys does not push out what is known of others."""
    wire = await hot(guarded, asked("reader"))
    sealed = path_of(guarded)._audiences._sealed
    known = dict(sealed)
    for number in range(20):
        assert status_of(await wire.ask(get(NAME, f"X-API-KEY: {number}"))) == 401
    assert sealed == known and known


def status_over(connection: HTTPConnection, headers: dict[str, str]) -> int:
    """Ask for the buffer over a connection that stays open: the status."""
    connection.request("GET", f"/{NAME}", headers=headers)
    response = connection.getresponse()
    assert (response.read() == BODY) == (response.status == 200)
    return response.status


def test_workers(directory: Path, auth_file: Path) -> None:
    """Each of several workers lets in whom the file names, and a second after a change nobody else."""
    headers = [credentials("reader", kind) for kind in KINDS]
    with crew_on(directory, "--writable", "--auth-file", str(auth_file)) as crew:
        connections = [crew.connect(worker) for worker in crew.workers]
        connections[0].request("PUT", f"/{NAME}", BODY, credentials("writer", "basic"))
        assert connections[0].getresponse().read() == b"OK"
        for given in headers * 4:
            assert [status_over(each, given) for each in connections] == [200] * 2
        write(auth_file, changed(text_of(), "gone"))
        time.sleep(access_room.FRESH_S + 0.1)
        for given in headers:
            assert [status_over(each, given) for each in connections] == [401] * 2

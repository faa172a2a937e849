"""The web-root beside the buffers: who goes first, who may read, who may write, and how it is started."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hashserver_aio import Settings, create_app
from hashserver_aio.server.webroot import validators

from .conftest import Client, ClientFactory, ServerFactory
from .programs import tool
from .routes import ROUTES, template_of
from .servers import COMMAND, RunningServer, environment
from .test_packaging import COMPOSE, run
from .wire import Wire, body_of, conversation, get, status_of

BODY = b"a buffer"
NAME = hashlib.sha3_256(BODY).hexdigest()
ABSENT = hashlib.sha3_256(b"absent").hexdigest()

OURS = ["api", "buffer-length", "has", "has-now", "healthcheck", "metrics", "promise", "rd"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A web-root with a file named alike everything of ours, and some others."""
    root = tmp_path / "www"
    root.mkdir()
    for name in (
        *OURS,
        NAME,
        ABSENT,
        "has.txt",
        "HAS",
        "page.html",
        "image.svg",
        "feed.xml",
        "a.png",
        "a.pdf",
    ):
        (root / name).write_bytes(b"a file")
    return root


@pytest.fixture
async def web(start_client: ClientFactory, root: Path) -> Client:
    """A client of a writable server with the web-root, which holds a buffer."""
    client = await start_client(web_root=root)
    assert (await client.put(f"/{NAME}", data=BODY)).status == 200
    return client


async def ask(client: Client, target: str) -> bytes:
    """Send a path as it is; the answer to it."""
    wire = await Wire.to(client)
    try:
        return await wire.ask(get(target))
    finally:
        wire.transport.abort()


def test_routes(directory: Path, root: Path) -> None:
    """A web-root adds paths to read and takes none away but "/", of which it is the owner then."""
    routes = {
        (route.method, route.resource.canonical)
        for route in create_app(Settings(directory=directory, web_root=root)).router.routes()
        if route.resource is not None
    }
    others = {(method, template_of(path)) for method, path in ROUTES} - {("GET", "/")}
    assert others < routes
    assert {("GET", "/{path}"), ("HEAD", "/{path}")} < routes
    assert ("GET", "/") not in routes


async def test_buffers_go_first(web: Client, root: Path) -> None:
    """64 hexadecimal digits are a buffer, held or not, however they are written; nothing below is a file."""
    encoded = "".join(f"%{ord(digit):02x}" for digit in NAME)
    for name in (NAME, NAME.upper(), encoded):
        assert body_of(await ask(web, name)) == BODY
    assert body_of(await ask(web, ABSENT)) == b"Not found"
    (root / NAME).unlink()
    (root / NAME).mkdir()
    (root / NAME / "x").write_bytes(b"a file")
    for below in ("/x", "/", "%2fx"):
        assert status_of(await ask(web, NAME + below)) in (400, 404)
    (root / "sub").mkdir()
    (root / "sub" / NAME).write_bytes(b"a file")
    assert body_of(await ask(web, f"sub/{NAME}")) == b"a file"


async def test_fast_path_goes_on(web: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside files, buffers are answered as ever, in whatever order both are asked for."""
    monkeypatch.setattr(validators, "SETTLED_S", 0.0)
    steps = [get(NAME), get("has.txt"), get(NAME), get("nothing"), get(NAME), get("")]
    answers = await conversation(web, steps, warm=NAME)
    assert answers.count(BODY) == 3 and answers.count(b"a file") == 1
    assert await conversation(web, [b"".join(steps)], warm=NAME) == answers


async def test_ours_go_first(start_client: ClientFactory, web: Client) -> None:
    """Every other path of ours answers as it does without a web-root."""
    plain = await start_client()
    for path in (
        *OURS,
        "api/",
        "api/v1",
        "api/v1/axon/nothing",
        "promise/x",
        "has/x",
        "%68as",
        "promise/",
    ):
        with_files, without = [await ask(client, path) for client in (web, plain)]
        assert status_of(with_files) == status_of(without), path
        assert b"a file" not in with_files
    assert body_of(await ask(web, "has.txt")) == body_of(await ask(web, "HAS")) == b"a file"
    assert status_of(await ask(plain, "nonsense")) == 400
    assert status_of(await ask(web, "nonsense")) == 404
    assert b'"layout": "prefix"' in body_of(await ask(web, "api/server"))
    assert b"has.txt" in body_of(await ask(web, ""))


def contents(root: Path) -> dict[Path, bytes]:
    """Read all files of a folder."""
    return {path: path.read_bytes() for path in root.iterdir()}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "PATCH", "PROPFIND"])
async def test_only_read(start_client: ClientFactory, root: Path, method: str) -> None:
    """No request changes the web-root, whatever else the server lets be written and deleted."""
    client = await start_client(web_root=root, allow_delete=True)
    before = contents(root)
    for path in ("/has.txt", "/new.txt", "/sub/new.txt", "/", "/sub/"):
        async with client.request(method, path, data=b"new") as answer:
            assert answer.status in (400, 404, 405), path
    assert contents(root) == before


async def test_who_may_read(start_client: ClientFactory, root: Path, tmp_path: Path) -> None:
    """Files and listings are for those who may read, and then no cache that others use keeps them."""
    access = tmp_path / "auth.toml"
    command = [*COMMAND, "auth", "add", "reader", "--key", "-p", "read", "--auth-file", str(access)]
    key = (await asyncio.to_thread(subprocess.check_output, command, text=True, env=environment())).split()[
        -1
    ]
    client = await start_client(web_root=root, auth_file=access)
    for path in (
        "/has.txt",
        "/",
        "/nothing",
        "/../x",
        "/.hid",
        "/has.txt?blocks",
        "/rd/has.txt",
        "/rd/nothing",
    ):
        async with client.get(path) as answer:
            assert answer.status == 401
            assert b"a file" not in await answer.read()
    for path in ("/has.txt", "/", "/has.txt?blocks"):
        async with client.get(path, headers={"X-API-KEY": key}) as answer:
            assert (answer.status, answer.headers["Cache-Control"]) == (200, "private, no-cache")


@pytest.mark.parametrize(
    ("name", "is_page"),
    [("page.html", True), ("image.svg", True), ("feed.xml", True), ("a.png", False), ("a.pdf", False)],
)
async def test_pages_may_not_write(start_client: ClientFactory, root: Path, name: str, is_page: bool) -> None:
    """A page of the web-root has an origin of its own, unless this server's is one that may write."""
    for origins in ((), ("https://other.example",), ("http://files.example:8000",), ("*",)):
        client = await start_client(web_root=root, cors_origins=origins)
        async with client.get(f"/{name}", headers={"Host": "files.example:8000"}) as answer:
            policy = answer.headers.get("Content-Security-Policy", "")
        is_trusted = origins in (("http://files.example:8000",), ("*",))
        assert policy.startswith("sandbox") == (is_page and not is_trusted)
        assert "allow-same-origin" not in policy
        async with client.put(f"/{NAME}", data=BODY, headers={"Origin": "null"}) as answer:
            assert answer.status == (200 if origins == ("*",) else 403)


async def test_counted(web: Client) -> None:
    """Requests for files, and their bytes, are counted as such."""
    for path in ("/has.txt", "/", "/nothing", "/nothing/at/all"):
        await (await web.get(path)).read()
    text = await (await web.get("/metrics", headers={"Accept-Encoding": "identity"})).text()
    assert 'hashserver_requests_total{face="webroot",method="GET",status="200"} 2.0' in text
    assert 'hashserver_requests_total{face="webroot",method="GET",status="404"} 2.0' in text


@pytest.mark.parametrize("workers", ["1", "2"])
def test_started(start_server: ServerFactory, directory: Path, root: Path, workers: str) -> None:
    """What is not served is told at the start, in one line; the rest is."""
    server = start_server(directory, "--web-root", str(root), "--workers", workers)
    assert fetched(server, "has.txt") == b"a file"
    assert server.stop() == 0
    lines = [line for line in server.lines if "not served" in line]
    assert len(lines) == 1 and lines[0].strip().endswith(": " + ", ".join(OURS))
    assert not any("Traceback" in line for line in server.lines)


def fetched(server: RunningServer, path: str) -> bytes:
    """Get a file with curl."""
    command = ["curl", "-sS", "--path-as-is", f"{server.url}/{path}"]
    return subprocess.run(command, check=True, capture_output=True, timeout=30).stdout


def test_environment(start_server: ServerFactory, directory: Path, root: Path) -> None:
    """The environment says it as well, and what the server was told of are its own files."""
    (root / ".dotted").write_bytes(b"a file")
    (root / "status").write_text("{}")
    more = {"HASHSERVER_WEB_ROOT": str(root), "HASHSERVER_DOT_FILES": "1"}
    server = start_server(directory, "--status-file", str(root / "status"), env=environment(**more))
    assert fetched(server, ".dotted") == b"a file"
    assert b"NoSuchFile" in fetched(server, "status")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    "make", [lambda path: None, lambda path: path.write_bytes(b"")], ids=["absent", "file"]
)
def test_refused(directory: Path, tmp_path: Path, workers: str, make: Callable[[Path], None]) -> None:
    """A web-root that is no folder is refused in a sentence, before anything is served."""
    make(tmp_path / "www")
    command = [
        *COMMAND,
        "run",
        str(directory),
        "--port",
        "0",
        "--workers",
        workers,
        "--web-root",
        str(tmp_path / "www"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment(), check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the web-root ") and done.stderr.count("\n") == 1


def test_compose(tmp_path: Path) -> None:
    """With one more compose file the server has a web-root that it only reads, and asks for the folder."""
    files = [shutil.copy(COMPOSE.with_name(name), tmp_path) for name in ("compose.yaml", "web-root.yaml")]
    command = (tool("docker-compose"), "-f", str(files[0]), "-f", str(files[1]), "config")
    done = run(*command, HASHSERVER_DIRECTORY="/srv/buffers", HASHSERVER_WEB_ROOT="/srv/files")
    assert done.returncode == 0, done.stderr
    assert "HASHSERVER_WEB_ROOT: /web-root" in done.stdout and "/srv/files" in done.stdout
    assert done.stdout.count("read_only: true") == 2  # the folder, and the container as ever
    done = run(*command, HASHSERVER_DIRECTORY="/srv/buffers")
    assert done.returncode and "set it to the folder whose files" in done.stderr

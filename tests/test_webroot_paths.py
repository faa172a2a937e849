"""Paths of the web-root: what leads to a file, and that nothing leads outside, however it is written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest

from .conftest import Client, ClientFactory
from .wire import Wire, body_of, get, status_of

SECRET = b"nobody's business"
DIGEST = hashlib.sha1(SECRET).hexdigest().encode()

NAMES = {
    "plain": b"a.txt",
    "umlaut": "grüße.txt".encode(),
    "composed otherwise": "gru\u0308ße".encode(),
    "beyond the basic plane": "\U0001f40d.py".encode(),
    "no UTF-8": b"latin-\xe9\xff",
    "space": b" a b ",
    "plus": b"a+b",
    "percent": b"100%",
    "looks encoded": b"%2e%2e%2f",
    "question": b"what?#now",
    "backslash": b"x\\..\\y",
    "quotes": b"\"'<b>&amp;",
    "newline": b"a\nb\r\n",
    "colon": b"data:text,x",
    "dots": b"a..b...",
    "semicolon": b"a;b=c,d",
    "braces": b"{checksum}",
    "63 digits": b"a" * 63,
    "65 digits": b"a" * 65,
    "long": b"x" * 255,
    "as ours": b"hashes",
}

UP = (
    *("..", "%2e%2e", "%2E.", ".%2e", "%2e%2E", "..%00", "..%5c", "..\\", "%252e%252e", "%c0%ae%c0%ae"),
    *("%uff0e%uff0e", "..;", "..;/..", "%e0%80%ae%e0%80%ae", "..%c0%af", "..%ef%bc%8f"),
    *("...", "....", "..%20", "..%09", "%2e%2e%2f..", ".%00.", "sub/../..", "./..", "sub/%2e%2e/%2e%2e"),
)
SLASHES = ("/", "%2f", "%2F", "//", "\\", "%5c", "%252f", "/./", "/%2e/", "%c0%af")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A web-root with a folder, and secrets beside it."""
    root = tmp_path / "www"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"seen")
    (root / "sub" / "b.txt").write_bytes(b"seen")
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "www-secret").write_bytes(SECRET)
    return root


@pytest.fixture
async def web(start_client: ClientFactory, root: Path) -> Client:
    """A client of a server with the web-root."""
    return await start_client(web_root=root)


async def ask(client: Client, target: str, *headers: str) -> bytes:
    """Send a path as it is; the answer to it."""
    wire = await Wire.to(client)
    try:
        return await wire.ask(get(target, *headers))
    finally:
        wire.transport.abort()


async def is_hidden(client: Client, target: str) -> bool:
    """Tell whether there is nothing to be had of a file, neither its bytes nor what they hash to."""
    answers = [await ask(client, target + query) for query in ("", "?blocks")]
    told = await ask(client, f"rd/{target}")
    return [status_of(answer) for answer in answers] == [404, 404] and b'{"ok": false' in told


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("folder", [b"", b"sub/", "grün ö/".encode()])
async def test_names(web: Client, root: Path, name: bytes, folder: bytes) -> None:
    """Whatever a file is called, its percent-encoded name leads to it, also at the top."""
    path = root / os.fsdecode(folder + name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"found " + name)
    encoded = quote_from_bytes(folder + name)
    for target in (encoded, "".join(f"%{byte:02x}" if byte != 47 else "/" for byte in folder + name)):
        answer = await ask(web, target)
        assert (status_of(answer), body_of(answer)) == (200, b"found " + name)


async def test_raw_utf8(web: Client, root: Path) -> None:
    """A name that is sent as bare bytes is refused by the parser, or leads to its file."""
    (root / "grüße").write_bytes(b"found")
    for name in ("grüße".encode(), b"\xc0\xae\xc0\xae/secret"):
        answer = await ask(web, name.decode("latin-1"))
        assert status_of(answer) in (400, 404) or body_of(answer) == b"found"


@pytest.mark.parametrize("up", UP)
async def test_traversal(web: Client, tmp_path: Path, up: str) -> None:
    """No spelling of "..", and none of a slash, leads outside; the answer is a 4xx in JSON, or 404."""
    wire = await Wire.to(web)
    for slash in SLASHES:
        for begin in ("", "sub/", "/", "a.txt/"):
            for target in ("secret", str(tmp_path)[1:] + "/secret"):
                path = begin + (up + slash) * (begin.count("/") + 1) + target
                for query in ("", "?blocks"):
                    answer = await wire.ask(get(path + query))
                    assert SECRET not in answer
                    assert status_of(answer) in (400, 404), (path, answer)
                    assert body_of(answer).startswith(b'{"message"')
    wire.transport.abort()


@pytest.mark.parametrize("up", UP)
async def test_traversal_by_rd(web: Client, tmp_path: Path, up: str) -> None:
    """Nor do they under /rd/: there is no such file, or no such path, and no word of what lies around."""
    wire = await Wire.to(web)
    for slash in SLASHES:
        for begin in ("rd/", "rd/sub/", "rd//", "rd/a.txt/", "rd%2f", "%72d/", "rd/rd/", "sub/../rd/"):
            for target in ("secret", "www-secret", str(tmp_path)[1:] + "/secret"):
                path = begin + (up + slash) * begin.count("/") + target
                answer = await wire.ask(get(path))
                told = body_of(answer)
                assert b'"ok": true' not in told and DIGEST not in told, (path, answer)
                assert (status_of(answer), told[:12]) == (200, b'{"ok": false') or (
                    status_of(answer) in (400, 404) and told.startswith(b'{"message"')
                ), (path, answer)
                assert status_of(answer) != 200 or b'"filepath": ""' in told
    wire.transport.abort()


async def test_what_rd_tells(web: Client, root: Path, tmp_path: Path) -> None:
    """Of no file is told where it lies, neither of one that there is nor of one that there is not."""
    (root / "sub" / "to").symlink_to(root / "a.txt")
    for target in (
        "rd/a.txt",
        "rd/sub/to",
        "a.txt?blocks",
        "rd/sub",
        "rd/nothing",
        "nothing?blocks",
        "rd/%00",
    ):
        told = await ask(web, target)
        assert str(tmp_path).encode() not in told and b"www" not in told and b"..." not in told
    assert b'"filepath": "sub/to"' in await ask(web, "rd/sub/to")


@pytest.mark.parametrize(
    "target",
    [
        *("a.txt/", "a.txt/x", "a.txt%2f", "sub//b.txt", "/a.txt", "//a.txt", "sub/./b.txt", "./a.txt"),
        *("a.txt%00", "%00", "a.txt%00.html", "%", "%zz", "%f", "x" * 256, "%fe" * 300, "x/" * 2000),
        *(
            "a.txt\\",
            "A.TXT",
            "sub%2fb.txt",
            "sub%5cb.txt",
            "a.txt%20",
            ";",
            "~",
            "%7e",
            "file:///etc/passwd",
        ),
        *("http://a.txt", "a.txt?/../../secret/", ".", "..", "sub/..", "sub/.", "%2e", "sub/%2e/b.txt"),
    ],
)
async def test_odd(web: Client, target: str) -> None:
    """What is no file's path, or another file's, gets 404 in plain JSON, or 400, never 500."""
    answer = await ask(web, target)
    if "?" in target:
        assert body_of(answer) == b"seen"  # a query is no part of the path
        return
    assert status_of(answer) in (400, 404), answer
    assert body_of(answer).startswith(b'{"message"')
    assert b"www" not in body_of(answer)


async def test_absolute_form(web: Client) -> None:
    """A target in absolute form leads beneath the root as well, and no further."""
    wire = await Wire.to(web)
    answer = await wire.ask(b"GET http://t/a.txt HTTP/1.1\r\nHost: t\r\n\r\n")
    assert body_of(answer) == b"seen"
    answer = await wire.ask(b"GET http://t/../secret HTTP/1.1\r\nHost: t\r\n\r\n")
    assert status_of(answer) in (400, 404)
    wire.transport.abort()


@pytest.mark.parametrize("names", [[".hid"], [".hid", "x"], ["sub", ".x"], [".well-known", "a"], ["..."]])
async def test_dot_files(start_client: ClientFactory, root: Path, names: list[str]) -> None:
    """Files and folders with a dot are there only for those who asked for them."""
    path = root.joinpath(*names)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"dotted")
    target = "/".join(names)
    for settings, status in (({}, 404), ({"dot_files": True}, 200)):
        client = await start_client(web_root=root, **settings)
        encoded = target.replace(".", "%2e")
        for asked in (target, encoded, f"{target}?blocks", f"{encoded}?blocks"):
            assert status_of(await ask(client, asked)) == status
        for asked in (target, encoded):
            assert (b'"ok": true' in await ask(client, f"rd/{asked}")) == (status == 200)
        listed = await ask(client, "", "Accept: application/json")
        assert (names[0].encode() in listed) == (status == 200 or not names[0].startswith("."))


async def test_folder_of_another_store(start_client: ClientFactory, root: Path) -> None:
    """What a server keeps for itself is kept back also where it belongs to a directory that is not served."""
    (root / "sub" / ".hashserver-aio").mkdir()
    (root / "sub" / ".hashserver-aio" / "format").write_bytes(SECRET)
    (root / "to").symlink_to("sub/.hashserver-aio")
    client = await start_client(web_root=root, dot_files=True)
    for target in ("sub/.hashserver-aio/format", "to/format", "sub/%2ehashserver%2daio/format"):
        assert await is_hidden(client, target)
    assert b"hashserver-aio" not in body_of(await ask(client, "sub/", "Accept: application/json"))


def buffers_in(root: Path) -> tuple[Path, str]:
    """Make the root a directory of buffers too, with all that may lie in one."""
    body = b"a buffer"
    name = hashlib.sha3_256(body).hexdigest()
    for path in (f"{name[:2]}/{name}", f"{name[:2]}/{name}.LOCK", f"{name[:2]}/{name}.BUFFERLENGTH"):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(body)
    for path in (".LOCK", f"{name[:2]}/.LOCK", ".HASHSERVER_PREFIX", f"{name}.LOCK", f"{name}.zst"):
        (root / path).write_bytes(b"1\n")
    return root, name


@pytest.mark.parametrize("where", ["same", "below"])
async def test_our_own(start_client: ClientFactory, root: Path, where: str) -> None:
    """Where the web-root is, or contains, the directory of buffers, what is kept for them is not served."""
    store = root if where == "same" else root / "buffers"
    store.mkdir(exist_ok=True)
    name = buffers_in(store)[1]
    client = await start_client(directory=store, web_root=root, dot_files=True)
    assert (await client.put("/" + hashlib.sha3_256(b"new").hexdigest(), data=b"new")).status == 200
    assert (store / ".hashserver-aio" / "catalogue.sqlite").exists()
    (root / "sub" / "to").symlink_to(store)
    (root / "own").symlink_to(store / ".hashserver-aio")
    os.link(store / name[:2] / name, root / "sub" / "hard")
    beyond = "" if where == "same" else "buffers/"
    for path in store.rglob("*"):
        if path.is_file() and path.name not in ("a.txt", "b.txt", "hard"):
            below = quote_from_bytes(os.fsencode(path.relative_to(store)))
            for target in (beyond + below, f"sub/to/{below}", below):
                answer = await ask(client, target)
                is_buffer = target == name or len(target) == 64
                assert status_of(answer) == 200 if is_buffer else await is_hidden(client, target), target
    assert await is_hidden(client, "own/format")
    assert body_of(await ask(client, "sub/hard")) == b"a buffer"  # somebody gave it another name
    assert body_of(await ask(client, "a.txt")) == b"seen"
    for folder in ("", "sub/to/", f"sub/to/{name[:2]}/"):
        listed = body_of(await ask(client, folder, "Accept: application/json"))
        assert b"entries" in listed and b"LOCK" not in listed and b"catalogue" not in listed
        assert b".hashserver-aio" not in listed and b'"own"' not in listed and name.encode() not in listed


async def test_secrets(start_client: ClientFactory, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Access file, catalogue and key, and what programs leave beside them, are not served by any name."""
    files = {name: root / "sub" / name for name in ("auth.toml", "cat.db", "key.pem", "status.json")}
    for path in (files["auth.toml"], files["key.pem"], files["status.json"]):
        path.write_text("[anonymous]\npermissions = ['read', 'write']\n")
    client = await start_client(
        web_root=root,
        auth_file=files["auth.toml"],
        catalogue=f"sqlite:{files['cat.db']}",
        kept_back=(files["key.pem"], files["status.json"]),
    )
    assert (await client.put("/" + hashlib.sha3_256(b"new").hexdigest(), data=b"new")).status == 200
    beside = ("cat.db-wal", "cat.db-shm", "cat.db.broken-17", "status.json.12.tmp", "auth.toml~")
    for name in beside[2:]:
        (root / "sub" / name).write_bytes(SECRET)
    (root / "sub" / "keys.pem").write_bytes(b"seen")
    for name, path in files.items():
        (root / f"soft-{name}").symlink_to(path)
        os.link(path, root / f"hard-{name}")
    names = [name for known in files for name in (f"sub/{known}", f"soft-{known}", f"hard-{known}")]
    for target in (*names, *(f"sub/{name}" for name in beside)):
        assert (root / target).exists(), target
        assert await is_hidden(client, target), target
    assert body_of(await ask(client, "sub/keys.pem")) == b"seen"
    monkeypatch.setenv("HOME", str(root))
    (root / ".local/state/hashserver-aio").mkdir(parents=True)
    (root / ".local/state/hashserver-aio/x.sqlite").write_bytes(SECRET)
    further = await start_client(web_root=root, dot_files=True)
    assert await is_hidden(further, ".local/state/hashserver-aio/x.sqlite")
    files["key.pem"].rename(root / "moved")
    (root / "sub" / "new").write_text("renewed")
    (root / "sub" / "new").rename(files["key.pem"])
    assert await is_hidden(client, "sub/key.pem")

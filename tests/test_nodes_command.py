"""Nodes from the command line: how a server is told to have some, and what its operator asks and orders."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from hashserver_aio.nodes.keys import KeyPair
from hashserver_aio.passwords import digest_of

from .clients import name
from .conftest import ServerFactory
from .node_calls import asked, small_node
from .servers import COMMAND, environment, refused
from .test_tools import ABSENT, Tool

LOCAL = ("--replicas", "0", "--node-allow", "127.0.0.1")


async def apart(call: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """Do something that takes its time beside the nodes of a test."""
    return await asyncio.to_thread(call, *arguments, **more)


async def test_operating(start_server: ServerFactory, directory: Path) -> None:
    """The nodes of a server are listed and shown, and do what they are told to."""
    server = await apart(start_server, directory, "--writable", *LOCAL)
    tool = Tool(server.url)
    async with small_node(server.url) as one, small_node(server.url) as other:
        assert (await one.register(capacity=3 * 2**30))[0] == (await other.register())[0] == 200
        listed = await apart(tool, "nodes", "list")
        heading, first, second = listed.stdout.splitlines()
        assert heading.split()[:4] == ["ID", "STATE", "ONLINE", "USED"]
        assert first.split()[:7] == [one.id[:12], "active", "yes", "0", "B", "3.0", "GiB"]
        assert first.index(one.url) == second.index(other.url) == heading.index("URL")
        assert listed.stderr.startswith("0 buffers placed, 0 of them lack replicas; ")
        shown = (await apart(tool, "nodes", "show", f"{one.id[:8]}..")).stdout
        assert one.id in shown and "0 B of 3.0 GiB" in shown and "0 passed, 0 failed" in shown
        for verb, state in (("pause", "paused"), ("drain", "draining"), ("resume", "active")):
            (told,) = await apart(tool.records, "nodes", verb, one.id)
            assert told["state"] == state
        (told,) = await apart(tool.records, "nodes", "remove", one.id[:8], "--yes")
        assert told["state"] == "removed"
        assert [node["id"] for node in await apart(tool.records, "nodes", "list")] == [other.id]
        assert len(await apart(tool.records, "nodes", "list", "--all")) == 2


async def test_place(start_server: ServerFactory, directory: Path, tmp_path: Path) -> None:
    """Buffers are placed by name, from the command line or stdin; what is absent is told."""
    server = await apart(start_server, directory, "--writable", *LOCAL)
    tool = Tool(server.url)
    (tmp_path / "file").write_bytes(b"hello")
    await apart(tool, "put", str(tmp_path / "file"))
    done = await apart(tool, "nodes", "place", name(b"hello"), "--replicas", "2")
    assert done.stderr == "1 to be on 2 nodes each, 0 absent\n"
    listed = await apart(tool, "nodes", "list")
    assert listed.stderr.startswith("1 buffer placed, 1 of them lacks replicas; ")
    both = f"{name(b'hello')}  a comment\n{ABSENT}\n"
    (told,) = await apart(tool.records, "nodes", "place", "-", "--replicas", "1", stdin=both, code=1)
    assert told == {"placed": 1, "absent": [ABSENT]}
    assert (await asked(server.url))[1]["placements"]["buffers"] == 1


def test_sentences(start_server: ServerFactory, directory: Path) -> None:
    """What can't be done is said in a sentence; what makes no sense, before anybody is asked."""
    tool = Tool(start_server(directory, "--writable", *LOCAL).url)
    said = tool("nodes", "pause", "12345678", code=1).stderr
    assert "no node's id begins with 12345678; see hashserver-aio nodes list --all" in said
    assert "is no id" in tool("nodes", "show", "../../has", code=1).stderr
    assert "--yes" in tool("nodes", "remove", ABSENT, code=2).stderr
    assert "Usage" in tool("nodes", "place", ABSENT, code=2).stderr
    assert (
        "not a checksum: 64 hexadecimal digits"
        in tool("nodes", "place", "x", "--replicas", "1", code=1).stderr
    )


def test_server_without_nodes(start_server: ServerFactory, directory: Path) -> None:
    """Who asks the wrong server about its nodes is told what the right one is."""
    url = start_server(directory, "--writable").url
    tool = Tool(url)
    for command in (("list",), ("show", ABSENT), ("place", ABSENT, "--replicas", "1")):
        said = tool("nodes", *command, code=1).stderr
        assert f"{url} has no nodes: is it a server started with --replicas?" in said


@pytest.mark.parametrize(
    "option",
    [("--node-allow", "127.0.0.1"), ("--audit-interval", "10"), ("--audit-deadline", "10"),
     ("--server-key", "key")],
)  # fmt: skip
def test_of_no_use(directory: Path, option: tuple[str, str]) -> None:
    """What only a server with nodes heeds is refused where it is typed for another one."""
    command = [*COMMAND, "run", "--dir", str(directory), "--port", "0", *option]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=20)
    assert ended.returncode == 2 and f"{option[0]} is of no use without --replicas" in ended.stderr


def test_settings_for_all(start_server: ServerFactory, directory: Path) -> None:
    """The environment of several servers may have what only some of them heed."""
    start_server(directory, env={"HASHSERVER_AUDIT_INTERVAL": "10", "HASHSERVER_NODE_ALLOW": "127.0.0.1"})


def test_asks_before_removing(start_server: ServerFactory, directory: Path) -> None:
    """On a terminal who removes a node is asked, and who says no has removed nothing."""
    server = start_server(directory, "--writable", *LOCAL)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "nodes", "remove", ABSENT],
        env=environment(HASHSERVER_URL=server.url),
        stdin=theirs,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.write(ours, b"n\n")
        _, said = process.communicate(timeout=60)
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 1 and ABSENT in said and "Aborted" in said


def test_only_on_this_machine(start_server: ServerFactory, directory: Path) -> None:
    """A server that others can reach has nodes also without an access file, but no operator then."""
    server = start_server(directory, "--writable", "--host", "0.0.0.0", *LOCAL)
    tool = Tool(f"http://127.0.0.1:{server.port}")
    assert "--auth-file" in tool("nodes", "pause", ABSENT, code=1).stderr
    assert tool("nodes", "list").stderr.startswith("0 buffers placed")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_credentials(start_server: ServerFactory, directory: Path, tmp_path: Path, workers: str) -> None:
    """With an access file the permission admin is what an operator needs, wherever the server listens."""
    path = tmp_path / "auth.toml"
    path.write_text(
        f'[keys.a]\nsha256 = "{digest_of("admins").hex()}"\npermissions = ["admin"]\n'
        f'[keys.w]\nsha256 = "{digest_of("writers").hex()}"\n'
        'permissions = ["read", "write", "delete", "fetch"]\n'
    )
    options = ("--writable", "--host", "0.0.0.0", "--auth-file", str(path), "--workers", workers)
    url = f"http://127.0.0.1:{start_server(directory, *options, *LOCAL).port}"
    said = {
        key: Tool(url, HASHSERVER_KEY=key)("nodes", "pause", ABSENT, code=1).stderr
        for key in ("admins", "writers", "nobodys")
    }
    assert "no node's id" in said["admins"] and "w does not have the permission admin" in said["writers"]
    assert "unknown here" in said["nobodys"]


@pytest.mark.parametrize(
    ("options", "says"),
    [((), "would forget the nodes"), (("--writable", "--catalogue", "memory:"), "would forget the nodes"),
     (("--catalogue", "sqlite:{folder}/c"), "--server-key"),
     (("--writable", "--node-allow", "10.0.0.0/99"), "--node-allow"),
     (("--writable", "--server-key", "{folder}/none/key"), "none/key"),
     (("--writable", "--server-key", "{folder}/bad", "--workers", "2"), "no Ed25519 key")],
)  # fmt: skip
def test_refused_start(directory: Path, tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    """A server that would forget its nodes, or that nodes could not know again, is none."""
    (tmp_path / "bad").write_bytes(b"no key")
    given = [option.format(folder=tmp_path) for option in options]
    assert says in refused("--dir", str(directory), "--replicas", "2", *given)


def test_read_only(start_server: ServerFactory, directory: Path, tmp_path: Path) -> None:
    """A directory that is only read can be held by nodes, too, with catalogue and key elsewhere."""
    env = {"HASHSERVER_REPLICAS": "1", "HASHSERVER_SERVER_KEY": f"{tmp_path}/key"}
    server = start_server(directory, "--catalogue", f"sqlite:{tmp_path}/c", env=env)
    assert Tool(server.url)("nodes", "list", "--json").stdout == ""
    assert KeyPair.load_or_make(tmp_path / "key").id
    assert not list(directory.iterdir())


async def test_key_is_not_served(start_server: ServerFactory, directory: Path, tmp_path: Path) -> None:
    """The server's key is not among the files of a web-root, also if it lies there."""
    key, page = tmp_path / "key.pem", tmp_path / "page"
    page.write_bytes(b"page")
    options = ("--writable", *LOCAL, "--web-root", str(tmp_path), "--server-key", str(key))
    server = await apart(start_server, directory, *options)
    assert key.exists()
    async with ClientSession(server.url) as session:
        statuses = [(await session.get(f"/{path.name}")).status for path in (page, key)]
    assert statuses == [200, 404]

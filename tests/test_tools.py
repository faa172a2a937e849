"""The commands that ask a server, as scripts use them: what they print, and how they end."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from hashserver_aio.passwords import digest_of

from .clients import LONG, name, sha256
from .conftest import ServerFactory
from .servers import COMMAND, RunningServer, environment

Done = subprocess.CompletedProcess[str]
ABSENT = "ab" * 32


class Tool:
    """The command line, asking one server."""

    def __init__(self, url: str, **env: str) -> None:
        self.env = environment(HASHSERVER_URL=url, **env)

    def __call__(self, *arguments: str, code: int = 0, stdin: str = "") -> Done:
        """Run a command that must end with an exit code."""
        command = [*COMMAND, *arguments]
        done = subprocess.run(
            command, env=self.env, input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done
        assert "Traceback" not in done.stderr
        return done

    def records(self, *arguments: str, code: int = 0, stdin: str = "") -> list[dict[str, Any]]:
        """Run a command with --json."""
        lines = self(*arguments, "--json", code=code, stdin=stdin).stdout.splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def server(start_server: ServerFactory, directory: Path) -> RunningServer:
    """A server that deletes, too."""
    return start_server(directory, "--writable", "--allow-delete", "--access-log", "--log-level", "info")


@pytest.fixture
def tool(server: RunningServer) -> Tool:
    """The command line, asking a server of its own."""
    return Tool(server.url)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three files, one of them below, one of them a link, and others that are none."""
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "a").write_bytes(b"hello")
    (folder / "below" / "b").write_bytes(LONG)
    (folder / "c").symlink_to("a")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    return folder


def test_put_and_get(tool: Tool, folder: Path, tmp_path: Path) -> None:
    """Files go there and come back; each is a line with its name."""
    shown = tool("put", str(folder / "a"), str(folder / "below" / "b"))
    assert sorted(shown.stdout.splitlines()) == sorted(
        [f"{name(b'hello')}  {folder}/a", f"{name(LONG)}  {folder}/below/b"]
    )
    assert shown.stderr == "2 stored, 0 held, 0 failed, of 2\n"
    assert tool("get", name(LONG), "-o", str(tmp_path / "copy")).stdout == f"{name(LONG)}  {tmp_path}/copy\n"
    assert (tmp_path / "copy").read_bytes() == LONG
    both = f"{name(LONG)}  a comment\n\n{name(b'hello')}\n"
    found = tool.records("get", "-", "-o", str(folder), stdin=both)
    assert sorted(each["size"] for each in found) == [5, len(LONG)]
    assert (folder / name(b"hello")).read_bytes() == b"hello"
    assert tool("cat", name(b"hello"), name(b"hello")).stdout == "hellohello"
    assert tool("get", "--sha256", sha256(b"hello"), "-o", "-").stdout == "hello"


def test_put_many(tool: Tool, server: RunningServer, folder: Path) -> None:
    """What is held is not sent again; what fails is told, and does not keep the rest."""
    found = tool.records("put", "-r", str(folder))
    assert [each["status"] for each in found].count("failed") == 0 and len(found) == 3
    sent = [line for line in server.lines if "PUT /" in line]
    again = tool.records("put", "-r", str(folder))
    assert {each["status"] for each in again} == {"held"} and sent
    assert [line for line in server.lines if "PUT /" in line] == sent
    (folder / "new").write_bytes(b"new")
    mixed = tool.records(
        "put", str(folder / "nothing"), str(folder), str(folder / "pipe"), str(folder / "new"), code=1
    )
    status = {Path(each["path"]).name: (each["status"], each.get("error")) for each in mixed}
    assert status == {
        "nothing": ("failed", "No such file or directory"),
        "folder": ("failed", "a folder: say -r"),
        "pipe": ("failed", "no file"),
        "new": ("stored", None),
    }
    shown = tool("put", str(folder / "nothing"), code=1)
    assert (shown.stdout, shown.stderr) == ("", f"{folder}/nothing: No such file or directory\n")


def test_put_a_thousand(tool: Tool, tmp_path: Path) -> None:
    """More files than fit a batch are stored, each once."""
    for number in range(1_200):
        (tmp_path / f"file{number:04}").write_bytes(b"%d" % (number % 1_100))
    found = tool.records("put", *map(str, tmp_path.glob("file*")))
    assert len(found) == 1_200 and len({each["name"] for each in found}) == 1_100
    assert len(tool("ls").stdout.splitlines()) == 1_100


def test_has_and_stat_and_rm(tool: Tool, folder: Path) -> None:
    """What is asked about is told name by name, and the exit code says whether all of it is there."""
    hello = name(b"hello")
    tool("put", str(folder / "a"))
    assert tool("has", hello).stdout == f"{hello}  held\n"
    assert tool("has", hello, ABSENT, code=1).stdout == f"{hello}  held\n{ABSENT}  absent\n"
    assert tool.records("has", "--sha256", "-", stdin=sha256(b"hello")) == [
        {"name": sha256(b"hello"), "held": True}
    ]
    (found,) = tool.records("stat", hello)
    assert (found["name"], found["size"], found["sha256"]) == (hello, 5, sha256(b"hello"))
    assert f"{hello}  size=5 sha256={sha256(b'hello')} modified=2" in tool("stat", hello).stdout
    assert ABSENT in tool("stat", ABSENT, hello, code=1).stderr
    assert tool.records("rm", hello, ABSENT, code=1) == [
        {"name": hello, "removed": True},
        {"name": ABSENT, "removed": False},
    ]
    assert tool("has", hello, code=1).stdout == f"{hello}  absent\n"


def test_get_what_is_not_there(tool: Tool, tmp_path: Path) -> None:
    """What is absent is told, and leaves nothing behind; the others come."""
    (tmp_path / "file").write_bytes(b"hello")
    tool("put", str(tmp_path / "file"))
    out = tmp_path / "out"
    out.mkdir()
    shown = tool("get", ABSENT, name(b"hello"), "-o", str(out), code=1)
    assert ABSENT in shown.stderr and [path.name for path in out.iterdir()] == [name(b"hello")]
    assert tool("cat", ABSENT, code=1).stdout == ""


def test_corrupt(tool: Tool, directory: Path, tmp_path: Path) -> None:
    """What rotted on the server is not written, and not taken for a success."""
    path = directory / ABSENT[:2] / ABSENT
    path.parent.mkdir()
    path.write_bytes(b"not that")
    for command in (("cat", ABSENT), ("get", ABSENT, "-o", str(tmp_path / "file"))):
        shown = tool(*command, code=1)
        assert (shown.stdout, "corruption" in shown.stderr) == ("", True)
    assert not (tmp_path / "file").exists()


def test_ls(tool: Tool, server: RunningServer, tmp_path: Path) -> None:
    """The feed is listed in order; --follow goes on with what comes, through a restart of nobody."""
    for number in range(3):
        (tmp_path / "file").write_bytes(b"%d" % number)
        tool("put", str(tmp_path / "file"))
    lines = [f"{number} {sha256(b'%d' % number)} 1" for number in range(3)]
    assert tool("ls").stdout.splitlines() == lines
    (found,) = tool.records("ls", "--offset", "2")
    assert (found["index"], found["sha256"], found["size"]) == (2, sha256(b"2"), 1)
    assert "feed" in tool("ls", "--feed-id", "a" * 32, code=1).stderr
    with subprocess.Popen(
        [*COMMAND, "ls", "-f"], env=tool.env, stdout=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        assert [following.stdout.readline().rstrip() for _ in range(3)] == lines
        (tmp_path / "file").write_bytes(b"new")
        tool("put", str(tmp_path / "file"))
        assert following.stdout.readline() == f"3 {sha256(b'new')} 3\n"
        following.send_signal(2)
        assert following.wait(10) == 130


@pytest.mark.parametrize(
    "arguments",
    ["put", "get", "has", f"get {ABSENT} {'cd' * 32} -o /dev/null", f"get {ABSENT} -o - --json",
     "put x --jobs 0", "has x --url ftp://host", "ls --offset -1", "has x --url nonsense"],
)  # fmt: skip
def test_wrong_usage(arguments: str) -> None:
    """What makes no sense ends with 2, before anybody is asked."""
    assert "Usage" in Tool("http://127.0.0.1:1")(*arguments.split(), code=2).stderr


def test_sentences(tool: Tool, folder: Path, unused_tcp_port: int) -> None:
    """What can't be done is said in a sentence, with exit code 1."""
    away = ("--url", f"http://127.0.0.1:{unused_tcp_port}")
    shown = subprocess.Popen(
        [*COMMAND, "has", ABSENT, *away], env=tool.env, stderr=subprocess.PIPE, text=True
    )
    assert "is not a checksum" in tool("has", "nonsense", code=1).stderr
    _, said = shown.communicate(timeout=60)
    assert (shown.returncode, "can't be reached: " in said, "Traceback" in said) == (1, True, False)


def test_credentials(start_server: ServerFactory, directory: Path, tmp_path: Path) -> None:
    """Credentials come from the environment; whoever has none is told so, and stops at the first refusal."""
    path = tmp_path / "auth.toml"
    path.write_text(f'[keys.k]\nsha256 = "{digest_of("s3cretkey").hex()}"\npermissions = ["read", "write"]\n')
    server = start_server(directory, "--writable", "--auth-file", str(path))
    good, wrong = Tool(server.url, HASHSERVER_KEY="s3cretkey"), Tool(server.url, HASHSERVER_USER="s3cretkey")
    good("put", str(path))
    assert good("has", name(path.read_bytes())).returncode == 0
    for shown in (wrong("has", ABSENT, code=1), wrong("put", str(path), str(path), code=1)):
        assert "unknown here" in shown.stderr and "s3cret" not in shown.stderr


def test_on_a_terminal(tool: Tool, tmp_path: Path) -> None:
    """On a terminal a bar shows how far it is; the names are there all the same."""
    (tmp_path / "file").write_bytes(LONG)
    ours, theirs = pty.openpty()
    command = [*COMMAND, "put", str(tmp_path / "file")]
    with subprocess.Popen(command, env=tool.env, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        end_s = time.monotonic() + 30
        while time.monotonic() < end_s and select.select([ours], [], [], 30)[0]:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
        assert process.wait(10) == 0
    os.close(ours)
    assert b"storing" in shown and b"100%" in shown and name(LONG).encode() in shown


@pytest.mark.parametrize("command", [("cat", "{long}"), ("get", "{long}", "-o", "-"), ("has", "{long}")])
def test_nobody_reads(tool: Tool, folder: Path, command: tuple[str, ...]) -> None:
    """A command whose reader has had enough (`| head`) ends as other programs do, without a word."""
    tool("put", str(folder / "below" / "b"))
    reading, writing = os.pipe()
    os.close(reading)
    given = [*COMMAND, *(word.format(long=name(LONG)) for word in command)]
    ended = subprocess.run(given, env=tool.env, stdout=writing, stderr=subprocess.PIPE, timeout=60)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")

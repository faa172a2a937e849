"""The scripts that a user would copy: they do what they say, and are short enough to be read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .clients import LONG, name, sha256
from .conftest import ServerFactory
from .servers import RunningServer, environment

EXAMPLES = Path(__file__).resolve().parent.parent / "scripts" / "examples"
MAX_LINES = 60
ABSENT = "ab" * 32


def command(script: str, *arguments: str) -> list[str]:
    """Call a script."""
    return [sys.executable, str(EXAMPLES / script), *arguments]


def run(script: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a script that must end with an exit code."""
    done = subprocess.run(
        command(script, *arguments),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done
    return done


@pytest.fixture(params=["sha3-256", "sha-256"])
def server(request: pytest.FixtureRequest, start_server: ServerFactory, directory: Path) -> RunningServer:
    """A server of either algorithm."""
    return start_server(directory, "--writable", "--hash-algorithm", request.param)


def test_upload_and_check(server: RunningServer, directory: Path, tmp_path: Path) -> None:
    """A folder is stored, once; a list of names is checked against it."""
    folder, by = tmp_path / "folder", sha256 if "(sha-256" in server.lines[0] else name
    (folder / "below").mkdir(parents=True)
    bodies = {"a": b"hello", "below/b": LONG, "empty": b"", "same": b"hello"}
    for path, body in bodies.items():
        (folder / path).write_bytes(body)
    shown = run("upload_folder.py", str(folder), server.url)
    assert sorted(shown.stdout.splitlines()) == sorted(f"{by(b)}  {folder}/{p}" for p, b in bodies.items())
    assert run("upload_folder.py", str(folder), server.url).stderr == "0 of 4 files stored, 4 were held\n"
    names = tmp_path / "names"
    names.write_text(shown.stdout)
    assert run("check_names.py", str(names), server.url).stderr == "0 of 4 are absent\n"
    names.write_text(f"{ABSENT}\n{shown.stdout}")
    assert run("check_names.py", str(names), server.url, code=1).stdout == f"{ABSENT}\n"


def test_refused(start_server: ServerFactory, directory: Path, tmp_path: Path) -> None:
    """What the server does not take is told, with an exit code."""
    server = start_server(directory)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(b"hello")
    assert "405" in run("upload_folder.py", str(tmp_path / "folder"), server.url, code=1).stdout
    (tmp_path / "names").write_text("nonsense\n")
    assert "400" in run("check_names.py", str(tmp_path / "names"), server.url, code=1).stderr


def test_watch(start_server: ServerFactory, directory: Path, tmp_path: Path) -> None:
    """What comes is printed as it comes, each arrival once, also if the server was away meanwhile."""
    server = start_server(directory, "--writable")
    (tmp_path / "folder").mkdir()

    def store(body: bytes, url: str) -> None:
        (tmp_path / "folder" / "file").write_bytes(body)
        run("upload_folder.py", str(tmp_path / "folder"), url)

    store(b"one", server.url)
    with subprocess.Popen(
        command("watch_feed.py", server.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline() == f"0 {sha256(b'one')} 3\n"
        server.kill()
        again = start_server(directory, "--writable", "--port", str(server.port))
        store(b"three", again.url)
        assert watching.stdout.readline() == f"1 {sha256(b'three')} 5\n"
        watching.send_signal(2)
        assert watching.wait(10) == 130


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_short(path: Path) -> None:
    """An example needs nothing of ours, and is read at one go."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < MAX_LINES and "hashserver_aio" not in text

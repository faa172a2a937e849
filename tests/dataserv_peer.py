"""The real `dataserv-client`, in an environment of its own: what our registry of nodes is held against.

What it asks for has changed since 2016, so the versions that it works with are named here. Of what it imports
and does not need for these calls (a network between nodes) there are stubs.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from .servers import environment

VERSIONS = ("2.1.4", "2.1.8")
BUILDING = ("setuptools==68.2.2", "wheel==0.42.0")
NEEDED = (
    "storjcore==0.0.6",
    "btctxstore==4.8.0",
    "pycoin==0.52",
    "six==1.16.0",
    "ecdsa==0.13",
    "future==1.0.0",
    "partialhash==1.1.3",
    "RandomIO==0.2.1",
    "psutil==5.9.8",
    "pycryptodome==3.20.0",
)
STUBS = {
    "storjnode/__init__.py": "",
    "storjnode/log.py": "import logging\n",
    "crochet.py": "def setup():\n    pass\n",
}

CHECKOUT = Path(__file__).parents[1]
SCRIPT = CHECKOUT / "scripts" / "peers" / "dataserv.py"
CACHE = CHECKOUT / ".peers"

INSTALL_S = 600
CALLS_S = 60


class Told(NamedTuple):
    """The address of a node, and what came of its calls: what the client gave, or the name of its error."""

    address: str
    outcomes: list[Any]


class DataservClient:
    """A node of the real client: its wallet and settings are in a folder."""

    def __init__(self, version: str, folder: Path) -> None:
        self._python = python_of(version)
        self._folder = folder

    def make(self, url: str, *calls: tuple[Any, ...]) -> Told:
        """Make calls to a server, each a name and arguments."""
        asked = json.dumps([(name, arguments) for name, *arguments in calls])
        command = [str(self._python), str(SCRIPT), url, str(self._folder)]
        return Told(**json.loads(self._run(command, asked).splitlines()[-1]))

    def command(self, url: str, *arguments: str) -> None:
        """Run its command, as a user does; it succeeds."""
        options = (
            "--store_path",
            f"{self._folder}/store",
            "--config_path",
            f"{self._folder}/settings/config.json",
        )
        program = str(self._python.with_name("dataserv-client"))
        self._run([str(self._python), program, "--url", url, *options, *arguments])

    def _run(self, command: list[str], given: str = "") -> str:
        env = environment(HOME=str(self._folder))
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=CALLS_S, env=env)
        assert not done.returncode, done.stderr[-2000:]
        return done.stdout


def python_of(version: str) -> Path:
    """Install the client once for a checkout and a version of Python; the interpreter that has it."""
    name = f"dataserv-client-{version}-py{sys.version_info.major}.{sys.version_info.minor}"
    venv = CACHE / name
    CACHE.mkdir(exist_ok=True)
    python, complete = venv / "bin" / "python", venv / "complete"
    with open(venv.with_suffix(venv.suffix + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # for other runs of the tests on this checkout
        if not (complete.exists() and python.exists()):
            shutil.rmtree(venv, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(venv))
            install = (str(python), "-m", "pip", "install", "-q")
            _run(*install, *BUILDING)
            packages = (f"dataserv-client=={version}", *NEEDED)
            _run(*install, "--no-build-isolation", "--no-deps", *packages)
            _lay_stubs(venv)
            complete.touch()
    return python


def _lay_stubs(venv: Path) -> None:
    (packages,) = venv.glob("lib/python*/site-packages")
    for path, text in STUBS.items():
        (packages / path).parent.mkdir(exist_ok=True)
        (packages / path).write_text(text)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
    if done.returncode and os.environ.get("CI") != "true":
        pytest.skip(f"dataserv-client can't be installed here: {done.stderr[-500:]}")
    assert not done.returncode, done.stderr[-2000:]

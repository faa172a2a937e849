"""The real Axon (Synapse 2.256.0), in an environment of its own: what our axon face is held against.

Synapse brings seventy packages with bounds of their own, so it never goes into the environment of the tests.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .servers import environment

SYNAPSE = "synapse==2.256.0"
CHECKOUT = Path(__file__).parents[1]
SCRIPT = CHECKOUT / "scripts" / "peers" / "axon.py"
CACHE = CHECKOUT / ".peers"

INSTALL_S = 900
"""It takes about a minute where the registry is near."""

START_S = 60
STOP_S = 20

PASSWORD = "secret"
USERS = {
    "all": ["axon.get", "axon.has", "axon.upload", "axon.del", "axon.wget", "axon.wput"],
    "reader": ["axon.get", "axon.has"],
    "writer": ["axon.upload"],
    "deleter": ["axon.del"],
    "nobody": [],
}
"""Users and what they may do; the password of each is PASSWORD."""


@dataclass(frozen=True)
class RealAxon:
    """A running Axon: its ports on loopback, and an API key of each user."""

    https: int
    http: int
    telepath: int
    keys: dict[str, str]

    @property
    def context(self) -> ssl.SSLContext:
        """What connects to it: its certificate is signed by itself."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


def python_of_synapse() -> Path:
    """Install Synapse once for a checkout and a version of Python; the interpreter that has it."""
    venv = CACHE / f"{SYNAPSE.replace('==', '-')}-py{sys.version_info.major}.{sys.version_info.minor}"
    CACHE.mkdir(exist_ok=True)
    python, complete = venv / "bin" / "python", venv / "complete"
    with open(venv.with_suffix(venv.suffix + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # for other runs of the tests on this checkout
        if not (complete.exists() and python.exists()):
            shutil.rmtree(venv, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(venv))
            _run(str(python), "-m", "pip", "install", "-q", SYNAPSE)
            complete.touch()
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
    if done.returncode and os.environ.get("CI") != "true":
        pytest.skip(f"{SYNAPSE} can't be installed here: {done.stderr[-500:]}")
    assert not done.returncode, done.stderr[-2000:]


@contextmanager
def running_axon(directory: Path) -> Iterator[RealAxon]:
    """Run an Axon with USERS on a new directory."""
    python = python_of_synapse()
    directory.mkdir()
    with open(directory / "stderr", "w") as errors:
        process = subprocess.Popen(
            [python, SCRIPT, directory / "cell"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(),
            start_new_session=True,  # it starts processes of its own
        )
    try:
        yield RealAxon(**_first_line(process, directory / "stderr"))
    finally:
        _end(process)


def _first_line(process: subprocess.Popen[bytes], errors: Path) -> dict[str, Any]:
    """Tell it the users and take what it says."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(USERS).encode() + b"\n")
    process.stdin.flush()
    ready, _, _ = select.select([process.stdout], [], [], START_S)
    line = process.stdout.readline() if ready else b""
    assert line, "the Axon did not start: " + errors.read_text()[-2000:]
    said: dict[str, Any] = json.loads(line)
    return said


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it by the end of its stdin, or else with its group, which is of its own processes only."""
    try:
        process.communicate(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

"""The peers: which programs are measured, how they are installed, and how a user starts them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from .failures import BenchError
from .progress import say

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGE_FILES = ("hashserver_aio", "setup.py", "setup.cfg", "pyproject.toml", "README.rst", "LICENSE")

HASHSERVER = "hashserver==1.1.0"
"""It imports aiofiles without asking for it."""

SYNAPSE = "synapse==2.256.0"
AXON_SCRIPT = CHECKOUT / "scripts" / "peers" / "axon.py"
AXON_USERS = {"all": ["axon.get", "axon.has", "axon.upload"]}
CREDENTIALS = "Authorization: Basic YWxsOnNlY3JldA=="
"""The user "all" with the password "secret": an Axon always asks for one."""

RD_CLIENT = "rd==1.7.0.0"

DEBIAN = {"nginx": "nginx-light", "wrk": "wrk", "curl": "curl"}


@dataclass(frozen=True)
class Contender:
    """One of those that are measured: a program, how it is run, and on which cores."""

    name: str
    kind: str
    options: tuple[str, ...] = ()
    """`{cache}` in them is the folder that has access file and certificate."""
    cores: int = 1
    tls: bool = False

    @property
    def credentials(self) -> tuple[str, ...]:
        """What has to be sent with each request."""
        return (CREDENTIALS,) if self.kind == "axon" or "--auth-file" in self.options else ()


OURS = Contender("ours", "ours")
NGINX = Contender("nginx", "nginx")
HASHSERVER_PEER = Contender("hashserver", "hashserver")
BARE = Contender("bare", "bare")
UNSYNCED = Contender("ours --no-fsync", "ours", ("--no-fsync",))
TWO_CORES = Contender("ours, 2 cores", "ours", cores=2)
UNSYNCED_TWO_CORES = Contender("ours --no-fsync, 2 cores", "ours", ("--no-fsync",), cores=2)
ONE_WORKER = Contender("ours --workers 1, 2 cores", "ours", ("--workers", "1"), cores=2)
TWO_WORKERS = Contender("ours --workers 2, 2 cores", "ours", ("--workers", "2"), cores=2)

_GUARDED = ("--auth-file", "{cache}/access.toml")
_CERTIFIED = ("--tls-cert", "{cache}/cert.pem", "--tls-key", "{cache}/key.pem")
AXON = Contender("axon", "axon", tls=True)
AXON_PLAIN = Contender("axon, no TLS", "axon")
OPEN = Contender("ours, for everybody", "ours", _CERTIFIED, tls=True)
OPEN_PLAIN = Contender("ours, for everybody, no TLS", "ours")
GUARDED = Contender("ours, by password", "ours", (*_GUARDED, *_CERTIFIED), tls=True)
GUARDED_PLAIN = Contender("ours, by password, no TLS", "ours", _GUARDED)
GUARDED_UNSYNCED = Contender("ours --no-fsync", "ours", (*_GUARDED, *_CERTIFIED, "--no-fsync"), tls=True)
GUARDED_PLAIN_UNSYNCED = Contender("ours --no-fsync, no TLS", "ours", (*_GUARDED, "--no-fsync"))

CURL = Contender("curl", "curl")
RD = Contender("rd", "rd")
LINE = Contender("curl, over a line that is never cut", "bare")
"""Clients; ours is another one."""

KINDS = ("ours", "nginx", "hashserver", "axon", "curl", "rd", "bare")


@dataclass(frozen=True)
class Peers:
    """Where the installed programs are."""

    venv: Path
    cache: Path

    @property
    def python(self) -> Path:
        """The interpreter that runs the servers, and the bare loops."""
        return self.venv / "bin" / "python"

    def command(self, contender: Contender, directory: Path, port: int, config: Path) -> list[str]:
        """Word the command line that serves a directory.

        `port` and `config` are for those that can't choose a port or need a file.
        """
        if contender.kind == "nginx":
            return [_found("nginx"), "-p", str(config.parent), "-c", str(config), "-e", "error.log"]
        if contender.kind == "hashserver":
            options = ["--hash-algorithm", "sha3-256", "--layout", "prefix"]
            return [self._script("hashserver"), str(directory), "--writable", "--port", str(port), *options]
        if contender.kind == "axon":
            return [str(_synapse(self.cache) / "bin" / "python"), str(AXON_SCRIPT), str(directory)]
        own = ["--dir", str(directory), "--writable", "--port", "0"]
        options = [option.format(cache=self.cache) for option in contender.options]
        return [self._script("hashserver-aio"), "run", *own, *options]

    def client(self, contender: Contender, url: str, file: Path) -> list[str]:
        """Word the command line that downloads a buffer from a server into a file of its name."""
        if contender.kind == "ours":
            return [self._script("hashserver-aio"), "get", file.name, "-o", str(file), "--url", url]
        if contender.kind == "rd":
            return [self._script("rd"), f"{url}/{file.name}"]  # it saves into its working directory
        return [_found("curl"), "-sSf", "-C", "-", "-o", str(file), f"{url}/{file.name}"]

    def _script(self, name: str) -> str:
        return str(self.venv / "bin" / name)


def install(kinds: Collection[str], cache: Path) -> Peers:
    """Install what is missing; the package itself is installed anew, from the checkout."""
    for program in [
        name for name in DEBIAN if name in {*kinds, "wrk", *(["curl"] if "bare" in kinds else [])}
    ]:
        if shutil.which(program, path=_path()) is None:
            _install_debian(program)
    venv = cache / f"venv-{sys.version_info.major}.{sys.version_info.minor}"
    if not (venv / "bin" / "pip").exists():
        _run([sys.executable, "-m", "venv", "--clear", str(venv)])
    with tempfile.TemporaryDirectory(prefix="hashserver-aio-") as copy:
        # From a copy: a build leaves its folders where it builds.
        for name in PACKAGE_FILES:
            _copy(CHECKOUT / name, Path(copy) / name)
        _run([str(venv / "bin" / "pip"), "install", "-q", HASHSERVER, RD_CLIENT, "aiofiles", copy])
    if "axon" in kinds:
        _install_axon(cache, venv)
    return Peers(venv, cache)


def _synapse(cache: Path) -> Path:
    return cache / f"{SYNAPSE.replace('==', '-')}-{sys.version_info.major}.{sys.version_info.minor}"


def _install_axon(cache: Path, venv: Path) -> None:
    """Install it apart, with what makes ours ask for credentials and speak TLS as it does."""
    synapse = _synapse(cache)
    if not (synapse / "complete").exists():
        _run([sys.executable, "-m", "venv", "--clear", str(synapse)])
        _run([str(synapse / "bin" / "pip"), "install", "-q", SYNAPSE])
        (synapse / "complete").touch()
    access = cache / "access.toml"
    access.unlink(missing_ok=True)
    add = [str(venv / "bin" / "hashserver-aio"), "auth", "add", "all", "--password-stdin"]
    _run([*add, "-p", "read", "-p", "write", "--auth-file", str(access)], given="secret\n")
    certificate = ["-keyout", str(cache / "key.pem"), "-out", str(cache / "cert.pem"), "-days", "3650"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:4096", "-nodes", "-subj", "/CN=127.0.0.1"]
    _run([*made, *certificate])


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _install_debian(program: str) -> None:
    package = DEBIAN[program]
    if os.geteuid() != 0:
        raise BenchError(f"{program} is missing; install it as root: apt-get install {package}")
    if shutil.which("apt-get") is None:
        raise BenchError(
            f"{program} is missing, and there is no apt-get here; install it and put it on the PATH"
        )
    # RUNLEVEL=1: the package shall not start a server of its own.
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    _run(["apt-get", "update", "-q"], env)
    _run(["apt-get", "install", "-q", "-y", "--no-install-recommends", package], env)


def _run(command: Sequence[str], env: dict[str, str] | None = None, given: str = "") -> None:
    say(" ".join(command))
    done = subprocess.run(command, env=env, input=given, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-2000:]}")


def _path() -> str:
    # Debian keeps nginx where users' paths do not lead.
    return os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"


def _found(program: str) -> str:
    path = shutil.which(program, path=_path())
    if path is None:
        raise BenchError(f"{program} is missing")
    return path


def wrk() -> str:
    """Name the path of wrk."""
    return _found("wrk")


def versions(peers: Peers, kinds: Collection[str]) -> dict[str, str]:
    """Name the version of every program and Python package that takes part."""
    listed = subprocess.run(
        [str(peers.venv / "bin" / "pip"), "list", "--format", "freeze"], capture_output=True, text=True
    )
    found = dict(line.split("==", 1) for line in listed.stdout.splitlines() if "==" in line)
    if "nginx" in kinds:
        asked = subprocess.run([_found("nginx"), "-v"], capture_output=True, text=True)
        found["nginx"] = asked.stderr.strip().rpartition("/")[2]
    if "curl" in kinds:
        asked = subprocess.run([_found("curl"), "--version"], capture_output=True, text=True)
        found["curl"] = asked.stdout.split()[1] if asked.stdout else "?"
    if "axon" in kinds:
        found["synapse"] = SYNAPSE.partition("==")[2]
    asked = subprocess.run([wrk(), "-v"], capture_output=True, text=True)
    found["wrk"] = asked.stdout.split()[1] if asked.stdout else "?"
    return found

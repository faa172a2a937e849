"""What is shipped around the package: the systemd unit, the compose file and the image.

No Docker engine is needed: the steps of the image are run one by one in a folder that is its root.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from string import Template

import pytest

from hashserver_aio.settings import DEFAULT_GRACE_S

from .programs import free_port, tool, unavailable

TOP = Path(__file__).resolve().parent.parent
UNITS = TOP / "scripts" / "systemd"
COMPOSE = TOP / "docker" / "compose.yaml"
DOCKERFILE = TOP / "docker" / "Dockerfile"
MAX_EXPOSURE = 20  # tenths: 0 "safe", 100 "dangerous"; what is left is the network mostly
AS_ROOT = ("useradd", "install")  # the steps of the image that only root can do


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `command`, with nothing but PATH and `environment` around it."""
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment}
    return subprocess.run(command, check=False, env=env, text=True, capture_output=True, timeout=240)


# systemd


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder with the units, as if the command were installed."""
    for name in ("hashserver-aio.service", "hashserver-aio.socket"):
        text = (UNITS / name).read_text().replace("/opt/hashserver-aio/bin/hashserver-aio", tool("true"))
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", ["hashserver-aio.service", "hashserver-aio.socket"])
def test_unit_verifies(units: Path, name: str) -> None:
    """systemd knows every setting of the units and finds nothing to say about them."""
    done = run(tool("systemd-analyze"), "verify", "--man=no", str(units / name))
    said = [line for line in done.stderr.splitlines() if "hashserver" in line]  # other units are none of ours
    assert (done.returncode, said) == (0, [])


def test_unit_is_hardened(units: Path) -> None:
    """The service is exposed no more than its work asks for."""
    program = tool("systemd-analyze")
    if int(run(program, "--version").stdout.split()[1]) < 250:
        unavailable("this systemd-analyze cannot judge a unit that is not installed")
    unit = str(units / "hashserver-aio.service")
    done = run(program, "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", "--no-pager", unit)
    assert done.returncode == 0, done.stdout


def test_sysusers_makes_the_user_of_the_unit() -> None:
    """The user that the unit runs as is the one that the sysusers file makes."""
    assert "\nUser=hashserver-aio\n" in (UNITS / "hashserver-aio.service").read_text()
    done = run(tool("systemd-sysusers"), "--dry-run", str(UNITS / "hashserver-aio.sysusers"))
    assert done.returncode == 0 and "hashserver-aio" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("path", "pattern"),
    [(UNITS / "hashserver-aio.service", r"TimeoutStopSec=(\d+)$"), (COMPOSE, r"grace_period: (\d+)s$")],
)
def test_stop_waits_for_the_grace(path: Path, pattern: str) -> None:
    """Nothing is killed while requests in flight are still being finished."""
    found = re.search(pattern, path.read_text(), re.MULTILINE)
    assert found and float(found[1]) > DEFAULT_GRACE_S


# Compose


def test_compose_file_is_valid(tmp_path: Path) -> None:
    """The compose file passes the schema, and each variable arrives where it should."""
    copy = shutil.copy(COMPOSE, tmp_path)  # away from a .env that a developer may have beside it
    done = run(
        *(tool("docker-compose"), "-f", str(copy), "config"),
        HASHSERVER_DIRECTORY="/srv/buffers",
        HASHSERVER_HOST="127.0.0.9",
        HASHSERVER_PORT="8123",
        HASHSERVER_USER_ID="1234",
        HASHSERVER_GROUP_ID="5678",
        HASHSERVER_WRITABLE="yes-writable",
        HASHSERVER_WORKERS="4321",
    )
    assert done.returncode == 0, done.stderr
    for value in ("/srv/buffers", "127.0.0.9", "8123", "1234:5678", "yes-writable", "4321"):
        assert value in done.stdout


def test_compose_asks_for_a_directory(tmp_path: Path) -> None:
    """Without HASHSERVER_DIRECTORY nothing is served by accident; the message says what to set."""
    done = run(tool("docker-compose"), "-f", str(shutil.copy(COMPOSE, tmp_path)), "config")
    assert done.returncode and "set it to the directory to serve" in done.stderr


# The image


def steps() -> list[tuple[str, str]]:
    """Return the Dockerfile as (instruction, arguments), continued lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in lines if line.strip()]


def last(instruction: str) -> str:
    """Return the arguments of the last such instruction, the one in force."""
    return [arguments for word, arguments in steps() if word == instruction][-1]


def healthy(environment: dict[str, str]) -> bool:
    """Run the image's health check with the python on the PATH."""
    _, *arguments = json.loads(last("HEALTHCHECK").split("CMD ", 1)[1])
    python = shutil.which("python", path=environment["PATH"])
    return python is not None and run(python, *arguments, **environment).returncode == 0


def under(root: Path, text: str) -> str:
    """Move the image's own paths in `text` below `root`."""
    return re.sub(r"(?<![\w.])/(opt|data|build)\b", rf"{root}/\1", text)


def build_environment() -> dict[str, str]:
    """Ours, for pip's settings, but without what would let our own packages shine through."""
    hidden = ("PYTHON", "VIRTUAL_ENV", "HASHSERVER_")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return ours | {"PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"}


def build_context(target: Path) -> Path:
    """Copy what .dockerignore lets through, nothing else."""
    for line in (TOP / ".dockerignore").read_text().splitlines():
        if line.startswith("!") and (source := TOP / line[1:]).is_dir():
            shutil.copytree(source, target / line[1:], ignore=shutil.ignore_patterns("__pycache__"))
        elif line.startswith("!"):
            target.mkdir(exist_ok=True)
            shutil.copy(source, target)
    return target


def copy_step(arguments: str, context: Path, workdir: Path) -> None:
    """Do one COPY. From another stage: a venv works only under the path at which it was made."""
    *options, source, target = shlex.split(arguments)
    if options and options[0].startswith("--from="):
        assert source == target
        return
    for name in [*options, source]:
        if (context / name).is_dir():
            shutil.copytree(context / name, workdir / target)
        else:
            shutil.copy(context / name, workdir / target)


def shell_step(root: Path, command: str, workdir: Path) -> None:
    command = under(root, command).replace("useradd ", f"useradd --prefix {root} ")
    done = run("sh", "-ec", f"cd {workdir}; {command}", **build_environment())
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The root of the image after the steps that need not be root."""
    root, context = tmp_path / "root", build_context(tmp_path / "context")
    workdir = root / "data"
    workdir.mkdir(parents=True)
    for word, arguments in steps():
        if word == "WORKDIR":
            workdir = Path(under(root, arguments))
            workdir.mkdir(parents=True)
        elif word == "COPY":
            copy_step(arguments, context, workdir)
        elif word == "RUN" and not arguments.startswith(AS_ROOT):
            shell_step(root, arguments, workdir)
    return root


def image_environment(root: Path) -> dict[str, str]:
    """What the ENV steps set, and nothing else."""
    pairs = [pair.split("=", 1) for pair in shlex.split(last("ENV"))]
    return {name: under(root, Template(value).substitute(PATH="/usr/bin:/bin")) for name, value in pairs}


def wait_healthy(environment: dict[str, str], server: subprocess.Popen[str]) -> None:
    """Return once the image's health check is content; fail after 30 s or when the server ends."""
    deadline = time.monotonic() + 30
    while not healthy(environment):
        assert server.poll() is None and time.monotonic() < deadline, "it did not come up"
        time.sleep(0.1)


@pytest.mark.slow
def test_image_serves_and_stops(image: Path) -> None:
    """Built from the build context alone, the image's command gets healthy, and stops with 0."""
    environment = image_environment(image)
    environment |= {"HASHSERVER_HOST": "127.0.0.1", "HASHSERVER_PORT": str(free_port())}
    name, *arguments = json.loads(last("ENTRYPOINT")) + json.loads(last("CMD"))
    command = shutil.which(name, path=environment["PATH"])
    assert command and command.startswith(str(image))
    assert list(image.glob("opt/hashserver-aio/lib/*/site-packages/hashserver_aio/py.typed"))
    with subprocess.Popen([command, *arguments], env=environment, cwd=image, text=True) as server:
        try:
            wait_healthy(environment, server)
            server.send_signal(signal.Signals[last("STOPSIGNAL")])
            assert server.wait(timeout=20) == 0
        finally:
            server.kill()


def test_image_user(tmp_path: Path) -> None:
    """The image's user can be made, owns /data, and is the one it runs as: uid 1000, not root."""
    if os.geteuid():
        unavailable("only root can make users")
    tool("useradd")
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group", "shadow", "gshadow"):
        (tmp_path / "etc" / name).touch()
    for word, arguments in steps():
        if word == "RUN" and arguments.startswith(AS_ROOT):
            shell_step(tmp_path, arguments, tmp_path)
    assert (tmp_path / "etc" / "passwd").read_text().startswith(f"{last('USER')}:x:1000:1000:")
    data = (tmp_path / last("VOLUME").lstrip("/")).stat()
    assert (data.st_uid, data.st_gid) == (1000, 1000)


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server that answers `status` to GET /healthcheck, else 404; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthcheck" else 404)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [200, 503])
def test_health_command_tells(status: int) -> None:
    """The health check is content with a 200 and with nothing else, whatever proxy is set."""
    environment = build_environment() | {"http_proxy": "http://127.0.0.1:9"}
    with answering(status) as port:
        assert healthy(environment | {"HASHSERVER_PORT": str(port)}) is (status == 200)


def test_health_command_without_server() -> None:
    """A server that is not there is not healthy."""
    assert not healthy(build_environment() | {"HASHSERVER_PORT": str(free_port())})

"""What is shipped around the package, with a certificate: the unit, the compose file, the health check."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from .authority import Authority
from .conftest import ServerFactory
from .crews import until
from .programs import tool
from .test_packaging import COMPOSE, UNITS, build_environment, healthy, run


def test_unit_reloads(start_server: ServerFactory, directory: Path, authority: Authority) -> None:
    """`systemctl reload` makes the server show a certificate that was renewed."""
    found = re.search(r"^ExecReload=(.+)$", (UNITS / "hashserver-aio.service").read_text(), re.MULTILINE)
    assert found
    server = start_server(directory, *authority.options)
    old, new = authority.shown_at(server.port), authority.issue()
    assert old != new
    subprocess.run(found[1].replace("$MAINPID", str(server.process.pid)).split(), check=True)
    until("it is shown", lambda: authority.shown_at(server.port) == new)
    assert server.stop() == 0


def test_health_command_with_tls(start_server: ServerFactory, directory: Path, authority: Authority) -> None:
    """The image's health check asks over TLS where the server speaks it, whatever the certificate's name."""
    server = start_server(directory, *authority.options)
    environment = build_environment() | {"HASHSERVER_PORT": str(server.port)}
    assert healthy(environment | {"HASHSERVER_TLS_CERT": str(authority.files.certificate)})
    assert not healthy(environment)


def compose(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Put the compose files together, away from a .env that a developer may have beside them."""
    files = [shutil.copy(COMPOSE.with_name(name), folder) for name in ("compose.yaml", "tls.yaml")]
    command = (tool("docker-compose"), "-f", str(files[0]), "-f", str(files[1]), "config")
    return run(*command, HASHSERVER_DIRECTORY="/srv/buffers", **environment)


def test_compose_with_tls(tmp_path: Path) -> None:
    """With the second compose file the server has its certificate from a folder that it only reads."""
    done = compose(tmp_path, HASHSERVER_TLS_DIRECTORY="/srv/tls", HASHSERVER_TLS_KEY="own.pem")
    assert done.returncode == 0, done.stderr
    for value in ("/srv/tls", "HASHSERVER_TLS_CERT: /tls/fullchain.pem", "HASHSERVER_TLS_KEY: /tls/own.pem"):
        assert value in done.stdout
    assert done.stdout.count("read_only: true") == 2  # the folder, and the container as ever


def test_compose_with_tls_asks_for_a_folder(tmp_path: Path) -> None:
    """Without a folder the second compose file says what to set."""
    done = compose(tmp_path)
    assert done.returncode and "set it to the folder with the certificate" in done.stderr

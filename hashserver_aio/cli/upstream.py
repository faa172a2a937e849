"""The command under the name `hashserver`: exactly the arguments and defaults of hashserver 1.1.0.

So that a launcher which knows only that program starts this one through a symlink.
"""

from __future__ import annotations

from pathlib import Path

import click

from .. import settings as s
from ..checksums import Algorithm
from ..server import logs
from .options import ALGORITHMS, ports
from .run import ServerCommand, start
from .values import FILE, FOLDER, PORT, RANGE_PORT, SECONDS, Folders

RANDOM_PORTS = range(49152, 65536)


@click.command(name="hashserver", cls=ServerCommand)
@click.argument("directory", type=FOLDER)
@click.option(
    "--extra-dirs",
    type=Folders(),
    default=(),
    envvar="HASHSERVER_EXTRA_DIRS",
    help="More directories to read from.",
)
@click.option("--writable", is_flag=True, help="Accept buffers.")
@click.option("--port", type=PORT, help="Network port. [default: a random free one]")
@click.option(
    "--port-range",
    type=RANGE_PORT,
    nargs=2,
    metavar="START END",
    help="Range to select a random free port from.",
)
@click.option("--host", default=s.DEFAULT_HOST, show_default=True, help="Network host.")
@click.option("--layout", type=click.Choice(["flat", "prefix"]), default="prefix", show_default=True)
@click.option(
    "--hash-algorithm", type=click.Choice(ALGORITHMS), default=str(Algorithm.SHA_256), show_default=True
)
@click.option(
    "--lock-timeout",
    type=SECONDS,
    default=s.DEFAULT_LOCK_TIMEOUT_S,
    show_default=True,
    help="Seconds after which a lock file is stale.",
)
@click.option("--status-file", type=FILE, help="JSON file used to report server status.")
@click.option("--timeout", type=SECONDS, help="Stop after this many seconds of inactivity.")
def hashserver(
    directory: Path,
    extra_dirs: tuple[Path, ...],
    writable: bool,
    port: int | None,
    port_range: tuple[int, int] | None,
    host: str,
    layout: str,
    hash_algorithm: str,
    lock_timeout: float,
    status_file: Path | None,
    timeout: float | None,
) -> None:
    """Serve the buffers of DIRECTORY. (hashserver-aio, called by the name of hashserver.)"""
    logs.configure("warning", as_json=False)
    settings = s.Settings(
        directory=directory,
        writable=writable,
        layout=s.Layout(layout),
        algorithm=Algorithm(hash_algorithm),
        extra_dirs=extra_dirs,
        lock_timeout_s=lock_timeout,
        share_with_group=True,
    )
    listening = s.Listening(
        host=host,
        ports=ports(port, port_range, RANDOM_PORTS),
        status_file=status_file,
        timeout_s=timeout,
    )
    start(settings, listening)

"""What all commands share that ask a server: which one, as whom, and how it ends.

Credentials come from the environment only: a command line is for everybody to see.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..client import Client
from ..client.bodies import Progress
from ..errors import HashserverError
from .inspect import INTERRUPTED

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

F = TypeVar("F", bound=Callable[..., Any])

NOBODY_READS = 141
"""What a shell says of a program that SIGPIPE ended."""

DEFAULT_URL = "http://127.0.0.1:8000"

url_option = click.option(
    "--url",
    metavar="URL",
    default=DEFAULT_URL,
    show_default=True,
    envvar="HASHSERVER_URL",
    show_envvar=True,
    help="The server. Credentials: HASHSERVER_KEY, or HASHSERVER_USER and HASHSERVER_PASSWORD.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
sha256_option = click.option(
    "--sha256", "by_sha256", is_flag=True, help="Names are SHA-256, whatever the server names buffers by."
)


def names_argument(metavar: str = "NAME...") -> Callable[[F], F]:
    """Take names; a lone - reads them from stdin, one a line."""

    def read(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
        if value != ("-",):
            return value
        return tuple(line.split()[0] for line in sys.stdin if line.strip())

    return click.argument("names", metavar=metavar, nargs=-1, required=True, callback=read)


def algorithm_of(by_sha256: bool) -> str | None:
    """Say what names are of, for the client."""
    return "sha-256" if by_sha256 else None


def connect(url: str, prefix: str = "HASHSERVER_", **more: Any) -> Client:
    """Make a client of a server, with the credentials of the environment.

    Raises: UsageError.
    """
    key, user = os.environ.get(f"{prefix}KEY"), os.environ.get(f"{prefix}USER")
    auth = key or ((user, os.environ.get(f"{prefix}PASSWORD", "")) if user else None)
    try:
        return Client(url, auth=auth, **more)
    except HashserverError as error:
        raise click.UsageError(str(error)) from None


def run(work: Coroutine[None, None, bool]) -> None:
    """Do something, and end as scripts want it: 0 if all of it was done, 1 if not, 130 on Ctrl-C.

    As if it was killed by SIGPIPE, if nobody reads what it writes any more.
    """
    try:
        all_done = asyncio.run(work)
    except BrokenPipeError:  # whoever read what this writes wants no more of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is flushed at the end
        raise SystemExit(NOBODY_READS) from None
    except (HashserverError, OSError) as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    if not all_done:
        raise SystemExit(1)


class Bar:
    """A progress bar on a terminal, and nothing elsewhere; lines are written above it."""

    STEP_BYTES = 2**18

    def __init__(self, label: str, size: int | None = None) -> None:
        self._done = self._length = 0
        self._began_s = time.monotonic()
        self._bar: ProgressBar[int] | None = None
        if sys.stderr.isatty():
            self._bar = click.progressbar(
                length=size or 1,
                label=label,
                file=sys.stderr,
                update_min_steps=self.STEP_BYTES,
                item_show_func=lambda _: self._rate(),
            )

    def __enter__(self) -> Bar:
        if self._bar is not None:
            self._bar.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)

    def moved(self, count: int) -> None:
        """Show that so many bytes more are done with."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count, self._done)

    def part(self) -> Progress:
        """Begin a thing of a length that is not known yet: what is given is told what is done of it."""
        done = length = 0

        def at(now: int, size: int | None) -> None:
            nonlocal done, length
            if size is not None and size != length:
                self._length, length = self._length + size - length, size
                if self._bar is not None:
                    self._bar.length = max(1, self._length)
            before, done = done, now
            self.moved(now - before)

        return at

    def _rate(self) -> str:
        rate = self._done / max(time.monotonic() - self._began_s, 0.001)
        return f"{rate / 1e6:.1f} MB/s"

    def say(self, line: str, *, is_error: bool = False) -> None:
        """Write a line, to stdout or stderr."""
        if self._bar is not None:
            click.echo("\r\x1b[K", nl=False, err=True)
        click.echo(line, err=is_error)
        if self._bar is not None:
            self._bar.render_progress()

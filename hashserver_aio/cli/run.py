"""`hashserver-aio run`: serve a directory."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from pathlib import Path
from typing import Any

import click

from ..errors import HashserverError
from ..server import logs, serve
from ..server.status_file import StatusFile
from ..settings import Listening, Settings
from .options import (
    LISTENING_OPTIONS,
    STORE_OPTIONS,
    listening_settings,
    store_settings,
    with_options,
)
from .values import FOLDER


class ServerCommand(click.Command):
    """A command whose launcher learns from the status file also that its options were wrong."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; if they are wrong, tell the launcher before the user."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError:
            _report_failure(_status_file(given) or self._from_environment(ctx))
            raise

    def _from_environment(self, ctx: click.Context) -> Path | None:
        (option,) = (param for param in self.params if param.name == "status_file")
        path = option.resolve_envvar_value(ctx)
        return Path(path) if path else None

    def invoke(self, ctx: click.Context) -> object:
        """Run; what contradicts itself is found only here."""
        try:
            result: object = super().invoke(ctx)
            return result
        except click.UsageError:
            _report_failure(ctx.params["status_file"])
            raise


def _is_typed(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def _status_file(arguments: list[str]) -> Path | None:
    for argument, value in itertools.zip_longest(arguments, arguments[1:], fillvalue=""):
        name, equals, rest = argument.partition("=")
        if name == "--status-file":
            return Path(rest if equals else value)
    return None


def _report_failure(path: Path | None) -> None:
    async def report(path: Path) -> None:
        await (await StatusFile.found(path)).failed()

    if path is not None:
        with contextlib.suppress(HashserverError):
            asyncio.run(report(path))


@click.command(cls=ServerCommand)
@click.argument("positional", metavar="[DIRECTORY]", required=False, type=FOLDER)
@with_options(STORE_OPTIONS, LISTENING_OPTIONS)
def run(positional: Path | None, **given: Any) -> None:
    """Serve the buffers of a directory over HTTP.

    \b
    Examples:
      hashserver-aio run --dir /srv/buffers --writable
      hashserver-aio run /srv/buffers --port 0
      curl -T photo.jpg http://127.0.0.1:8000/$(openssl dgst -sha3-256 -r photo.jpg | cut -c-64)

    A 200 to a PUT means: stored, whole, verified and on the disk. Every option can also be set in
    the environment, under the name shown with it. SIGTERM and SIGINT stop the server; requests in
    flight are finished.
    """
    logs.configure(given["log_level"], as_json=given["log_format"] == "json")
    if positional is not None:
        if _is_typed("directory"):
            raise click.UsageError("Name the directory once: DIRECTORY or --dir DIR.")
        given["directory"] = positional
    for name, other in (("port", "port_range"), ("port_range", "port")):
        if _is_typed(name) and not _is_typed(other):
            given[other] = None  # what is typed stands above what the environment says
    if given["replicas"] is None:
        for name in ("server_key", "node_allow", "audit_interval", "audit_deadline"):
            if _is_typed(name):
                raise click.UsageError(f"--{name.replace('_', '-')} is of no use without --replicas.")
    start(store_settings(given), listening_settings(given))


def start(settings: Settings, listening: Listening) -> None:
    """Serve, and say in one sentence what went wrong if that can't be."""
    try:
        serve.run(settings, listening, logs.announce)
    except HashserverError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        return

"""Applications for other runners, configured by the environment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import click
from aiohttp import web

from ..errors import HashserverError
from ..server.app import create_app, refuse
from .options import STORE_OPTIONS, store_settings, with_options

DO_NOT_RESTART = 3
"""To gunicorn this exit code of a worker means that no other worker could start either."""


@click.command()
@with_options(STORE_OPTIONS)
def _store_command(**given: Any) -> None:
    """Take the options of a store; never run."""


async def app_factory(argv: Sequence[str] | None = None) -> web.Application:
    """Make the application that the environment (and `argv`, if given) describes.

    gunicorn's aiohttp workers call it without arguments.
    Raises: SystemExit, after a sentence on stderr, where that describes no server.
    """
    return await asyncio.to_thread(_app, list(argv or ()))


def _app(arguments: list[str]) -> web.Application:
    try:
        with _store_command.make_context("hashserver-aio", arguments) as context:
            settings = store_settings(context.params)
            if (settings.allow_delete or settings.allow_fetch) and settings.auth_file is None:
                name = "HASHSERVER_ALLOW_DELETE" if settings.allow_delete else "HASHSERVER_ALLOW_FETCH"
                raise click.UsageError(f"{name} needs HASHSERVER_AUTH_FILE here.")
            refuse(settings)  # a sentence now, not a traceback when the application starts
            return create_app(settings)
    except click.ClickException as error:
        error.show()
        raise SystemExit(DO_NOT_RESTART) from None
    except HashserverError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(DO_NOT_RESTART) from None

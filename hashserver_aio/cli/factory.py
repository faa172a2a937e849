"""Applications for other runners, configured by the environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from aiohttp import web

from ..server.app import create_app
from .options import STORE_OPTIONS, store_settings, with_options


@click.command()
@with_options(STORE_OPTIONS)
def _store_command(**given: Any) -> None:
    """Take the options of a store; never run."""


async def app_factory(argv: Sequence[str] | None = None) -> web.Application:
    """Make the application that the environment (and `argv`, if given) describes.

    gunicorn's aiohttp workers call it without arguments.
    Raises: SystemExit, after a sentence on stderr, where that describes no server.
    """
    return _app(list(argv or ()))


def _app(arguments: list[str]) -> web.Application:
    try:
        with _store_command.make_context("hashserver-aio", arguments) as context:
            return create_app(store_settings(context.params))
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None

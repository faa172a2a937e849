"""`hashserver-aio run`: serve a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import HashserverError
from ..server import logs, serve
from ..settings import Listening, Settings
from .options import LISTENING_OPTIONS, STORE_OPTIONS, listening_settings, store_settings, with_options


@click.command()
@click.argument("positional", metavar="[DIRECTORY]", required=False, type=Path)
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
        given["directory"] = positional
    start(store_settings(given), listening_settings(given))


def start(settings: Settings, listening: Listening) -> None:
    """Serve, and say in one sentence what went wrong if that can't be."""
    try:
        serve.run(settings, listening, lambda line: click.echo(line, err=True))
    except HashserverError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        return

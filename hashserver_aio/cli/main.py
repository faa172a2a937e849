"""The entry point: one command with subcommands, or `hashserver` if called so."""

from __future__ import annotations

import os
import sys

import click

from ..version import __version__
from .auth import auth
from .check import check
from .inspect import reindex, verify
from .run import run
from .upstream import hashserver


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hashserver-aio")
def cli() -> None:
    """A server for bytes named by their hash.

    \b
    Start one on a directory, store a buffer, get it back:
      hashserver-aio run --dir /srv/buffers --writable
      curl -T photo.jpg http://127.0.0.1:8000/$(openssl dgst -sha3-256 -r photo.jpg | cut -c-64)

    \b
    Completion for bash (zsh and fish alike):
      eval "$(_HASHSERVER_AIO_COMPLETE=bash_source hashserver-aio)"
    """


for command in (run, check, reindex, verify, auth):
    cli.add_command(command)


def main() -> None:
    """Run the command that this process was called as."""
    if os.path.basename(sys.argv[0]) == "hashserver":
        hashserver(prog_name="hashserver")
    else:
        cli(prog_name="hashserver-aio")

"""The entry point: one command with subcommands, or `hashserver` if called so."""

from __future__ import annotations

import os
import sys

import click

from ..version import __version__
from .ask import has, ls, rm, stat
from .auth import auth
from .check import check
from .get import cat, get
from .inspect import reindex, verify
from .mirror import mirror
from .node import node
from .nodes import nodes
from .put import put
from .run import run
from .upstream import hashserver


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hashserver-aio")
def cli() -> None:
    """A server for bytes named by their hash.

    \b
    Start one on a directory, store a buffer, get it back:
      hashserver-aio run --dir /srv/buffers --writable
      hashserver-aio put photo.jpg
      hashserver-aio get 3338be69.. -o copy.jpg

    \b
    Completion for bash (zsh and fish alike):
      eval "$(_HASHSERVER_AIO_COMPLETE=bash_source hashserver-aio)"
    """


for command in (run, check, reindex, verify, auth, put, get, cat, has, stat, ls, rm, mirror, node, nodes):
    cli.add_command(command)


def main() -> None:
    """Run the command that this process was called as."""
    if os.path.basename(sys.argv[0]) == "hashserver":
        hashserver(prog_name="hashserver")
    else:
        cli(prog_name="hashserver-aio")

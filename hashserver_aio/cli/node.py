"""`hashserver-aio node`: hold buffers for a server."""

from __future__ import annotations

from typing import Any

import click

from .. import settings as s
from ..holding import default_key
from ..server import logs
from .options import LISTENING_OPTIONS, SCRUB_RATE, WORKERS, listening_settings, option, with_options
from .run import ServerCommand, start
from .values import FILE, FOLDER, Address, NodeOrigin, Size

NODE_OPTIONS = (
    option("--dir", "directory", env="HASHSERVER_DIRECTORY", type=FOLDER, metavar="DIR", required=True,
           help="Directory to hold buffers in, best one of its own: the server may read, and remove, "
           "whatever is in it."),
    option("--server", type=NodeOrigin(), metavar="URL", required=True,
           help="The server: http:// or https://, host and port. Its key is asked for at the first start, "
           "and believed; later another one is refused."),
    option("--key", env="HASHSERVER_NODE_KEY", type=FILE, default=None, metavar="F",
           help="The file of this node's Ed25519 key, made if there is none: who has it is this node. "
           "[default: DIR/.hashserver-aio/node-key.pem]"),
    option("--capacity", type=Size(), default=None, metavar="BYTES",
           help="Hold so many bytes at most (500G, 2T, ..). [default: what the disk has room for]"),
    option("--public-url", type=NodeOrigin(), default=None, metavar="U",
           help="Where the server reaches this node: scheme, host and port, without a path. "
           "[default: where it listens]"),
    option("--payout-address", type=Address(), default=None, metavar="A",
           help="A Bitcoin address, which the server shows beside this node; nothing is done with it."),
    SCRUB_RATE,
)  # fmt: skip

ONE_PROCESS = tuple(one for one in LISTENING_OPTIONS if one is not WORKERS)
"""A node remembers what its server has told it, so that nobody can tell it again; several could not."""


@click.command(cls=ServerCommand)
@with_options(NODE_OPTIONS, ONE_PROCESS)
def node(**given: Any) -> None:
    """Hold buffers for a server, which places them here and audits them.

    \b
    Examples:
      hashserver-aio node --dir /srv/held --server https://hashes.example --host 203.0.113.7
      hashserver-aio node --dir /srv/held --server https://hashes.example --capacity 2T \\
          --host 0.0.0.0 --port 8001 --public-url https://node.example:8001

    A buffer is given to nobody but that server: each request is signed with its key. The directory is one
    as any other, so that `hashserver-aio run` can serve it one day.
    """
    logs.configure(given["log_level"], as_json=given["log_format"] == "json")
    start(_settings(given), listening_settings(given | {"workers": 1}))


def _settings(given: dict[str, Any]) -> s.Settings:
    directory = given["directory"]
    holding = s.Holding(
        server=given["server"],
        key=given["key"] or default_key(directory),
        capacity=given["capacity"],
        public_url=given["public_url"],
        payout_address=given["payout_address"] or "",
    )
    return s.Settings(
        directory=directory,
        writable=True,
        scrub_bytes_per_s=given["scrub_rate"] and given["scrub_rate"] * 2**20,
        holding=holding,
    )

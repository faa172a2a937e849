"""The options of a server, each also read from the environment.

This is the one place that reads HASHSERVER_ variables of servers, for the command line and for other runners.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from .. import settings as s
from ..blocks import DEFAULT_BLOCK_BYTES
from ..checksums import Algorithm
from ..server.logs import LEVELS
from .values import (
    FILE,
    FOLDER,
    GRACE,
    MINUTES,
    PORT,
    RANGE_PORT,
    RATE,
    SECONDS,
    Address,
    BlockSize,
    Folders,
    Origin,
    Size,
    Workers,
)

F = TypeVar("F", bound=Callable[..., Any])


def option(*names: str, env: str | tuple[str, ...] = (), **kwargs: Any) -> Callable[[F], F]:
    """Declare an option that can also come from `HASHSERVER_<NAME>`."""
    variable = "HASHSERVER_" + names[0].partition("/")[0].lstrip("-").replace("-", "_").upper()
    return click.option(*names, envvar=env or variable, show_envvar=True, **kwargs)


LAYOUTS = [str(layout) for layout in s.Layout]
ALGORITHMS = [str(algorithm) for algorithm in Algorithm]

SCRUB_RATE = option(
    "--scrub-rate", type=RATE, default=None, metavar="MIB/S",
    help="Hash all that is stored, over and over, at so many MiB a second; what is corrupt "
    "is put aside and logged. [default: off]",
)  # fmt: skip

STORE_OPTIONS = (
    option("--dir", "directory", env="HASHSERVER_DIRECTORY", type=FOLDER, metavar="DIR",
           help="Directory to serve; may also be given without --dir."),
    option("--writable", is_flag=True, env=("HASHSERVER_WRITABLE", "HASHSERVER_WRITEABLE"),
           help="Accept buffers. Without it the server only reads."),
    option("--layout", type=click.Choice(LAYOUTS), default=None,
           help="prefix: DIR/ab/ab3f.., flat: DIR/ab3f.., vault: four flat folders, read-only. "
           "[default: what DIR has, else prefix]"),
    option("--hash-algorithm", type=click.Choice(ALGORITHMS), default=None,
           help="What names the buffers. [default: what DIR has, else sha3-256]"),
    option("--extra-dirs", type=Folders(), default=(),
           help="More directories to read from; the layout of each is detected."),
    option("--lock-timeout", type=SECONDS, default=s.DEFAULT_LOCK_TIMEOUT_S, show_default=True,
           metavar="S", help="Seconds after which another program's lock file is stale."),
    option("--no-fsync", is_flag=True,
           help="Answer before buffers are on the disk: for scratch stores only. After a power "
           "cut, buffers that were acknowledged may be gone or broken (never served broken)."),
    option("--max-buffer-size", type=Size(), default=None, metavar="BYTES",
           help="Refuse larger buffers (500M, 2G, ..). [default: no limit]"),
    option("--max-bytes", type=Size(), default=None, metavar="BYTES",
           help="Hold so many bytes at most, uncompressed, all buffers together. [default: no limit]"),
    option("--max-count", type=click.IntRange(1), default=None, metavar="N",
           help="Hold so many buffers at most. [default: no limit]"),
    option("--catalogue", default=None, metavar="URL",
           help="Where to keep what is known of the buffers: sqlite:PATH, or memory:. "
           "[default: in DIR; in memory if DIR is not written]"),
    SCRUB_RATE,
    option("--block-size", type=BlockSize(), default=DEFAULT_BLOCK_BYTES, show_default="2M", metavar="BYTES",
           help="Digest buffers in blocks of this size, for downloads that are checked block by block: "
           "a power of two from 64K to 64M."),
    option("--auth-file", type=FILE, default=None, metavar="F",
           help="Who may do what, made by `hashserver-aio auth add`; read anew when it changes. "
           "[default: everybody reads, and writes if --writable]"),
    option("--allow-delete", is_flag=True,
           help="Let buffers be deleted; without an access file only on loopback."),
    option("--allow-fetch", is_flag=True,
           help="Fetch from other servers, and send to them, for clients of the axon face; without an "
           "access file only on loopback. Private addresses are refused."),
    option("--fetch-allow", multiple=True, metavar="CIDR|HOST",
           help="Fetch from this network, address or host as well, wherever it is; may be repeated."),
    option("--http-proxy", default=None, metavar="URL",
           help="Fetch through this proxy, http:// or https://. Where it needs a password, set the variable "
           "instead: options are seen by everybody on this machine."),
    option("--web-root", type=FOLDER, default=None, metavar="DIR",
           help="Serve the files of this folder too, at their paths: /a/b.txt is DIR/a/b.txt. "
           "They are only read."),
    option("--dot-files", is_flag=True,
           help="Serve files and folders of the web-root also if their names begin with a dot."),
    option("--cors-origin", type=Origin(), multiple=True, metavar="ORIGIN",
           help="Let web pages of this origin write, e.g. https://app.example; may be repeated. "
           "All may read."),
    option("--node-registry", is_flag=True,
           help="Register nodes, as dataserv did: /api/register and its kind. They sign what they say."),
    option("--server-address", type=Address(), default=s.DEFAULT_SERVER_ADDRESS, show_default=True,
           metavar="A", help="The Bitcoin address that nodes sign for; best one that no other server has."),
    option("--replicas", type=click.IntRange(0, s.MAX_REPLICAS), default=None, metavar="N",
           help="Have every buffer held by N nodes as well, which register here (`hashserver-aio node`). "
           "With 0 only those that `nodes place` names. [default: no nodes]"),
    option("--server-key", type=FILE, default=None, metavar="F",
           help="The key that this server signs with, and nodes know it by; made if it is not there. "
           "[default: in DIR/.hashserver-aio]"),
    option("--node-allow", multiple=True, metavar="CIDR|HOST",
           help="Let nodes be at this network, address or host, though it is not of the public Internet; "
           "may be repeated."),
    option("--audit-interval", type=SECONDS, default=s.DEFAULT_AUDIT_INTERVAL_S, show_default=True,
           metavar="S", help="Have nodes prove at least so often that they can deliver each buffer."),
    option("--audit-deadline", type=SECONDS, default=s.DEFAULT_AUDIT_DEADLINE_S, show_default=True,
           metavar="S", help="Seconds that a node gets for such a proof."),
    option("--online-minutes", type=MINUTES, default=s.DEFAULT_ONLINE_MINUTES, show_default=True, metavar="M",
           help="For how long a node is online after it was seen."),
    option("--max-ping", type=GRACE, default=s.DEFAULT_MAX_PING_S, show_default=True, metavar="S",
           help="A ping that comes sooner after the last one is accepted and changes nothing."),
    option("--height-limit", type=click.IntRange(1, 2**40), default=s.DEFAULT_HEIGHT_LIMIT, show_default=True,
           metavar="N", help="Refuse heights of nodes (units of 128 MiB) from N on."),
    option("--node-rate", type=SECONDS, default=s.DEFAULT_NODE_RATE, show_default=True, metavar="N",
           help="Calls of nodes that may come from one client address in a second; in ten seconds ten times "
           "as many at once. Raise it behind a proxy: there all have its address."),
)  # fmt: skip

WORKERS = option(
    "--workers", type=Workers(), default=1, show_default=True, metavar="N",
    help="Processes that serve, 1 to 256; auto: one for each core this process may use.",
)  # fmt: skip

LISTENING_OPTIONS = (
    option("--host", default=s.DEFAULT_HOST, show_default=True, metavar="H",
           help="Address to listen on; 0.0.0.0 is every IPv4 address of this machine, :: IPv6."),
    option("--port", type=PORT, default=None, metavar="P",
           help=f"Port to listen on; 0 picks a free one. [default: {s.DEFAULT_PORT}]"),
    option("--port-range", type=RANGE_PORT, nargs=2, default=None, metavar="A B",
           help="Listen on a random free port from A to B."),
    option("--tls-cert", type=FILE, default=None, metavar="F",
           help="Speak HTTPS, with this chain of certificates (PEM); read anew on SIGHUP."),
    option("--tls-key", type=FILE, default=None, metavar="F",
           help="The certificate's private key (PEM, not encrypted). [default: in --tls-cert]"),
    option("--status-file", type=FILE, default=None, metavar="F",
           help="A launcher's JSON file, which it makes; status and port are added to it."),
    option("--timeout", type=SECONDS, default=None, metavar="S",
           help="Stop when no request was served for S seconds. [default: never]"),
    option("--grace", type=GRACE, default=s.DEFAULT_GRACE_S, show_default=True,
           metavar="S", help="Seconds that requests in flight get when the server is stopped."),
    WORKERS,
    option("--access-log/--no-access-log", default=False, help="Log every request."),
    option("--log-level", type=click.Choice(LEVELS), default="warning", show_default=True,
           help="info also logs every buffer stored."),
    option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True,
           help="json: one object a line."),
)  # fmt: skip


def with_options(*groups: tuple[Callable[[F], F], ...]) -> Callable[[F], F]:
    """Add groups of options to a command, shown in this order."""

    def add(command: F) -> F:
        for group in reversed(groups):
            for one in reversed(group):
                command = one(command)
        return command

    return add


_KEPT_BACK = ("tls_cert", "tls_key", "status_file", "server_key")
"""Options of some commands that name files which are nobody else's, also if they lie in the web-root."""


def store_settings(given: dict[str, Any]) -> s.Settings:
    """Make settings of the values of STORE_OPTIONS.

    Raises: click.UsageError, where no directory is given.
    """
    if given["directory"] is None:
        raise click.UsageError("Name the directory to serve: --dir DIR, or HASHSERVER_DIRECTORY.")
    return s.Settings(
        directory=given["directory"],
        writable=given["writable"],
        layout=s.Layout(given["layout"]) if given["layout"] else None,
        algorithm=Algorithm(given["hash_algorithm"]) if given["hash_algorithm"] else None,
        extra_dirs=given["extra_dirs"],
        lock_timeout_s=given["lock_timeout"],
        fsync=not given["no_fsync"],
        max_buffer_bytes=given["max_buffer_size"],
        catalogue=given["catalogue"],
        block_size=given["block_size"],
        scrub_bytes_per_s=given["scrub_rate"] and given["scrub_rate"] * 2**20,
        auth_file=given["auth_file"],
        allow_delete=given["allow_delete"],
        allow_fetch=given["allow_fetch"],
        fetch_allow=tuple(given["fetch_allow"]),
        http_proxy=given["http_proxy"],
        limits=s.Limits(count=given["max_count"], size=given["max_bytes"]),
        cors_origins=tuple(given["cors_origin"]),
        web_root=given["web_root"],
        dot_files=given["dot_files"],
        farmers=_farmer_rules(given) if given["node_registry"] else None,
        nodes=_node_rules(given) if given["replicas"] is not None else None,
        kept_back=tuple(given[name] for name in _KEPT_BACK if given.get(name) is not None),
    )


def _farmer_rules(given: dict[str, Any]) -> s.FarmerRules:
    return s.FarmerRules(
        server_address=given["server_address"],
        online_s=given["online_minutes"] * 60,
        max_ping_s=given["max_ping"],
        height_limit=given["height_limit"],
        calls_per_s=given["node_rate"],
    )


def _node_rules(given: dict[str, Any]) -> s.NodeRules:
    return s.NodeRules(
        replicas=given["replicas"],
        key=given["server_key"],
        allow=tuple(given["node_allow"]),
        audit_interval_s=given["audit_interval"],
        audit_deadline_s=given["audit_deadline"],
        online_s=given["online_minutes"] * 60,
        calls_per_s=given["node_rate"],
    )


def listening_settings(given: dict[str, Any]) -> s.Listening:
    """Make settings of the values of LISTENING_OPTIONS.

    Raises: click.UsageError, where two of them contradict each other.
    """
    certificate, key = given["tls_cert"], given["tls_key"]
    if key is not None and certificate is None:
        raise click.UsageError("--tls-key is of no use without --tls-cert.")
    return s.Listening(
        host=given["host"],
        ports=ports(given["port"], given["port_range"], range(s.DEFAULT_PORT, s.DEFAULT_PORT + 1)),
        status_file=given["status_file"],
        timeout_s=given["timeout"],
        grace_s=given["grace"],
        access_log=given["access_log"],
        workers=given["workers"],
        tls=s.TlsFiles(certificate=certificate, key=key) if certificate is not None else None,
    )


def ports(port: int | None, port_range: tuple[int, int] | None, default: range) -> range:
    """Tell the ports that --port and --port-range allow.

    Raises: click.UsageError.
    """
    if port is not None and port_range is not None:
        raise click.UsageError("Give --port or --port-range, not both.")
    if port_range is None:
        return default if port is None else range(port, port + 1)
    first, last = port_range
    if first > last:
        raise click.UsageError(f"--port-range {first} {last} is backwards.")
    return range(first, last + 1)

"""`hashserver-aio nodes`: the nodes that hold buffers for a server, and what they are to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from ..client.nodes import Nodes
from ..errors import NodeNotFound
from ..settings import MAX_REPLICAS
from .remote import connect, json_option, names_argument, run, url_option

SHOWN_DIGITS = 12
"""Of an id in a table; two nodes that begin alike can be told apart by `--json`."""

Told = dict[str, Any]


def _without_dots(ctx: click.Context, param: click.Parameter, value: str) -> str:
    return value.rstrip(".")


node_argument = click.argument("node", metavar="ID", callback=_without_dots)


@click.group()
def nodes() -> None:
    """Nodes that hold buffers for a server (of `run --replicas`): list them, have them do things.

    An ID may be cut after eight digits, as long as no other one begins so. What changes something is for who
    has the permission admin, or, without an access file, for all, but only if the server listens on loopback.
    """


@nodes.command("list")
@click.option("--all", "with_removed", is_flag=True, help="Those removed, too.")
@url_option
@json_option
def list_(with_removed: bool, url: str, as_json: bool) -> None:
    """List the nodes: online, room, record, audits, and what is placed."""
    run(_list(with_removed, url, as_json))


async def _list(with_removed: bool, url: str, as_json: bool) -> bool:
    async with connect(url) as client:
        told = await client.nodes.list()
    shown = [node for node in told["nodes"] if with_removed or node["state"] != "removed"]
    if as_json:
        for node in shown:
            click.echo(json.dumps(node))
        return True
    rows = [
        ("ID", "STATE", "ONLINE", "USED", "CAPACITY", "RECORD", "PASSED", "FAILED", "LAST FAILURE", "URL")
    ]
    for line in _aligned([*rows, *map(_row, shown)]):
        click.echo(line)
    totals = told["placements"]
    click.echo(
        f"{_counted(totals['buffers'], 'buffer')} placed, {totals['lacking']} of them "
        f"{'lacks' if totals['lacking'] == 1 else 'lack'} replicas; "
        f"placements: {totals['good']} good, {totals['dead']} dead, {totals['surplus']} to be removed",
        err=True,
    )
    return True


@nodes.command()
@node_argument
@url_option
@json_option
def show(node: str, url: str, as_json: bool) -> None:
    """Tell all that is known of a node."""
    run(_node(Nodes.show, node, url, as_json))


@nodes.command()
@node_argument
@url_option
@json_option
def pause(node: str, url: str, as_json: bool) -> None:
    """Have nothing more placed on a node. It keeps what it has, and is audited."""
    run(_node(Nodes.pause, node, url, as_json))


@nodes.command()
@node_argument
@url_option
@json_option
def resume(node: str, url: str, as_json: bool) -> None:
    """Let a node do all that nodes do: after pause and drain; one that was removed may register again."""
    run(_node(Nodes.resume, node, url, as_json))


@nodes.command()
@node_argument
@url_option
@json_option
def drain(node: str, url: str, as_json: bool) -> None:
    """Place all that is on a node elsewhere, then take it from the node: before it goes."""
    run(_node(Nodes.drain, node, url, as_json))


@nodes.command()
@node_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@url_option
@json_option
def remove(node: str, yes: bool, url: str, as_json: bool) -> None:
    """Have nothing to do with a node any more, and keep it out; what it held is placed elsewhere."""
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Say --yes where nobody can be asked.")
        click.confirm(f"Remove the node {node}, and count on nothing that it holds?", abort=True, err=True)
    run(_node(Nodes.remove, node, url, as_json))


@nodes.command()
@names_argument("CHECKSUM...")
@click.option(
    "--replicas",
    type=click.IntRange(0, MAX_REPLICAS),
    required=True,
    metavar="N",
    help="On so many nodes each; 0 takes them from all.",
)
@url_option
@json_option
def place(names: tuple[str, ...], replicas: int, url: str, as_json: bool) -> None:
    """Have buffers placed on nodes, however many the server has of each. - reads names from stdin.

    Exit codes: 0, all will be; 1, some are not there; 2, wrong usage.
    """
    run(_place(names, replicas, url, as_json))


async def _place(names: Sequence[str], replicas: int, url: str, as_json: bool) -> bool:
    async with connect(url) as client:
        placing = await client.nodes.place(names, replicas)
    if as_json:
        click.echo(json.dumps(placing._asdict()))
    else:
        for name in placing.absent:
            click.echo(f"{name}: the server does not hold it", err=True)
        click.echo(
            f"{placing.placed} to be on {_counted(replicas, 'node')} each, {len(placing.absent)} absent",
            err=True,
        )
    return not placing.absent


async def _node(verb: Callable[[Nodes, str], Awaitable[Told]], node: str, url: str, as_json: bool) -> bool:
    """Ask about, or for, one node, and show it."""
    async with connect(url) as client:
        try:
            told = await verb(client.nodes, node)
        except NodeNotFound:
            raise click.ClickException(
                f"no node's id begins with {node}; see hashserver-aio nodes list --all"
            ) from None
    if as_json:
        click.echo(json.dumps(told))
    else:
        for line in _aligned(list(_lines(told))):
            click.echo(line)
    return True


def _row(node: Told) -> tuple[str, ...]:
    return (
        node["id"][:SHOWN_DIGITS],
        node["state"] + (", full" if node["full"] else ""),
        "yes" if node["online"] else f"no, {_duration(node['last_seen_s'])}",
        _size(node["used"]),
        _size(node["capacity"]),
        f"{node['record']:.2f}",
        str(node["passed"]),
        str(node["failed"]),
        node["last_failure"] or "-",
        node["url"] or "-",
    )


def _lines(node: Told) -> list[tuple[str, str]]:
    """Word a node, a line each."""
    failure = node["last_failure"]
    return [
        ("id", node["id"]),
        ("url", node["url"] or "- (another node is there now, or it was removed)"),
        ("state", node["state"]),
        ("online", f"{'yes' if node['online'] else 'no'}, seen {_duration(node['last_seen_s'])} ago"),
        ("registered", _time(node["registered_ms"])),
        ("used", f"{_size(node['used'])} of {_size(node['capacity'])}{', full' if node['full'] else ''}"),
        ("placements", ", ".join(f"{count} {state}" for state, count in node["placements"].items())),
        ("record", f"{node['record']:.4f}"),
        ("audits", f"{node['passed']} passed, {node['failed']} failed"),
        ("last failure", f"{failure}, {_time(node['last_failure_ms'])}" if failure else "-"),
        ("payout address", node["payout_address"] or "-"),
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} EiB"


def _duration(seconds: int) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")

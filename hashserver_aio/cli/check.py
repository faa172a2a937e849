"""`hashserver-aio check`: what a directory is, before one serves it."""

from __future__ import annotations

import grp
import json
import pwd
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from ..settings import DEFAULT_LOCK_TIMEOUT_S
from ..store.survey import Survey, survey
from .values import FOLDER, SECONDS


@click.command()
@click.argument("directory", type=FOLDER)
@click.option("--full", is_flag=True, help="Count every buffer instead of estimating.")
@click.option(
    "--lock-timeout",
    type=SECONDS,
    default=DEFAULT_LOCK_TIMEOUT_S,
    show_default=True,
    metavar="S",
    help="Seconds after which a lock file counts as stale.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(directory: Path, full: bool, lock_timeout: float, as_json: bool) -> None:
    """Tell what DIRECTORY is and whether it can be served. Nothing is changed.

    Exit code 1 means that `run` would not serve it as it is.

    \b
    Example:
      hashserver-aio check /srv/buffers --full
    """
    found = survey(directory, full=full, lock_timeout_s=lock_timeout, progress=_with_bar)
    click.echo(json.dumps(_as_dict(found)) if as_json else "\n".join(_as_lines(found)))
    if found.obstacles:
        raise SystemExit(1)


def _with_bar(folders: list[Path]) -> Iterator[Path]:
    with click.progressbar(folders, label="counting", file=sys.stderr) as bar:
        yield from bar


def _as_dict(found: Survey) -> dict[str, object]:
    return {
        "directory": str(found.directory),
        "layout": found.format and found.format.layout,
        "algorithm": found.format and found.format.algorithm,
        "format_recorded": found.recorded,
        "sampled": found.sampled,
        "matching": found.matching,
        "owner": _name(found.owner, of_group=False),
        "group": _name(found.group, of_group=True),
        "mode": f"{found.mode:04o}",
        "file_system": found.file_system,
        "buffers": found.buffers,
        "bytes": found.size,
        "exact": found.exact,
        "stale_locks": found.stale_locks,
        "temps": found.temps,
        "quarantined": found.quarantined,
        "obstacles": found.obstacles,
        "remarks": found.remarks,
    }


def _as_lines(found: Survey) -> Iterator[str]:
    about = "" if found.exact else "about "
    yield f"directory    {found.directory}"
    if found.owner >= 0:
        yield f"format       {_format(found)}"
        owner, group = _name(found.owner, of_group=False), _name(found.group, of_group=True)
        yield f"owner        {owner}:{group}, mode {found.mode:04o}"
        yield f"file system  {found.file_system}"
        yield f"buffers      {about}{found.buffers:,}, {about}{_human(found.size)}"
        yield f"left behind  {found.stale_locks} stale locks, {found.temps} temp entries, " + (
            f"{found.quarantined} in quarantine"
        )
    yield from (f"remark       {remark}" for remark in found.remarks)
    yield from (f"OBSTACLE     {obstacle}" for obstacle in found.obstacles)
    if not found.obstacles:
        yield f"verdict      can be served: hashserver-aio run --dir {found.directory}"


def _format(found: Survey) -> str:
    if found.format is None:
        return "none yet: empty, or unlike any known layout"
    how = "recorded" if found.recorded else f"{found.matching} of {found.sampled} sampled buffers fit"
    return f"{found.format} ({how})"


def _name(number: int, *, of_group: bool) -> str:
    try:
        return grp.getgrgid(number).gr_name if of_group else pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _human(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"

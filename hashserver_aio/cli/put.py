"""`hashserver-aio put`: files to a server, those that it has not."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import click

from ..client.folders import Outcome, Status, find_files, put_files
from .remote import Bar, connect, json_option, run, url_option

MAX_JOBS = 64


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-r", "--recursive", is_flag=True, help="Also folders, with all that is in them.")
@click.option(
    "--jobs",
    type=click.IntRange(1, MAX_JOBS),
    default=min(8, os.cpu_count() or 1),
    help="So many files are hashed, and sent, at a time. [default: a core each, up to 8]",
)
@url_option
@json_option
def put(paths: tuple[Path, ...], recursive: bool, jobs: int, url: str, as_json: bool) -> None:
    """Store files, and print the name of each.

    The server is asked about many at a time, and gets those that it has not; so the same command goes on
    where it was interrupted. A file that fails does not keep the others.

    \b
    Examples:
      hashserver-aio put photo.jpg
      hashserver-aio put -r ~/pictures --json
    Exit codes: 0, all are stored; 1, not all; 2, wrong usage; 130, interrupted.
    """
    run(_put(list(find_files(paths, recursive=recursive)), jobs, url, as_json))


async def _put(files: list[Outcome], jobs: int, url: str, as_json: bool) -> bool:
    counts = Counter[Status]()
    async with connect(url, transfers=jobs) as client:
        with Bar("storing", sum(file.size for file in files)) as bar:
            try:
                async for outcome in put_files(client, files, bar.moved, jobs=jobs):
                    counts[outcome.status] += 1
                    _tell(bar, outcome, as_json)
            finally:
                if len(files) > 1:
                    told = ", ".join(f"{counts[status]} {status}" for status in Status)
                    bar.say(f"{told}, of {len(files)}", is_error=True)
    return counts[Status.FAILED] == 0


def _tell(bar: Bar, outcome: Outcome, as_json: bool) -> None:
    if as_json:
        told = {
            "path": str(outcome.path),
            "name": outcome.name,
            "size": outcome.size,
            "status": outcome.status,
        }
        bar.say(json.dumps(told | ({"error": outcome.error} if outcome.error else {})))
    elif outcome.status is Status.FAILED:
        bar.say(f"{outcome.path}: {outcome.error}", is_error=True)
    else:
        bar.say(f"{outcome.name}  {outcome.path}")

"""`hashserver-aio mirror`: copy one server to another, and go on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click

from ..client.feed import Arrival
from ..client.mirror import Mirror, StateFile
from .remote import Bar, connect, json_option, run
from .values import FILE

FOLLOWING_RETRIES = 1_000
"""Who follows outlives a server that is away for hours: pauses are of up to 30 s."""


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@click.option(
    "--state", type=FILE, help="Where to keep how far it got. [default: in ~/.local/state/hashserver-aio]"
)
@click.option(
    "--jobs", type=click.IntRange(1, 64), default=8, show_default=True, help="So many copies at a time."
)
@json_option
def mirror(source: str, target: str, follow: bool, state: Path | None, jobs: int, as_json: bool) -> None:
    """Copy to the server at the URL TO what the one at FROM has and it has not. Nothing is deleted.

    Each buffer is verified on the way, and again by TO. How far it got is kept: the same command goes on
    from there, after whatever ended it. If the feed of FROM is another one by then, it says so and starts
    over; what TO has is not copied again. A buffer that can't be copied keeps no other, and the next run
    tries it again.

    Credentials: HASHSERVER_FROM_KEY, or HASHSERVER_FROM_USER and HASHSERVER_FROM_PASSWORD; and the same
    with _TO_.

    \b
    Example:
      hashserver-aio mirror http://127.0.0.1:8000 https://backup.example:8443 --follow
    Exit codes: 0, all is copied; 1, not all; 2, wrong usage; 130, interrupted.
    """
    run(_mirror(source, target, follow, state, jobs, as_json))


async def _mirror(
    source: str, target: str, follow: bool, state: Path | None, jobs: int, as_json: bool
) -> bool:
    more = {"transfers": jobs} | ({"retries": FOLLOWING_RETRIES} if follow else {})
    async with (
        connect(source, "HASHSERVER_FROM_", **more) as ours,
        connect(target, "HASHSERVER_TO_", **more) as theirs,
    ):
        kept = StateFile(state or _default_state(ours.url, theirs.url), ours.url, theirs.url)
        size = (await ours.metrics())["size:bytes"]
        with Bar("copying", size) as bar:
            work = Mirror(
                ours, theirs, kept, lambda line: bar.say(line, is_error=True), _teller(bar, as_json)
            )
            try:
                await work.run(follow=follow)
            finally:
                told = asdict(work.tally)
                words = ", ".join(f"{count} {what}" for what, count in told.items())
                bar.say(json.dumps(told) if as_json else words, is_error=not as_json)
    return not work.tally.failed


def _teller(bar: Bar, as_json: bool) -> Callable[[Arrival, bool], None]:
    """Tell of each buffer: by the bar on a terminal, in a line elsewhere."""

    def tell(arrival: Arrival, is_copied: bool) -> None:
        bar.moved(arrival.size)
        if is_copied and as_json:
            bar.say(json.dumps({"sha256": arrival.sha256, "size": arrival.size, "index": arrival.index}))
        elif is_copied and not sys.stderr.isatty():
            bar.say(f"{arrival.sha256} {arrival.size}")

    return tell


def _default_state(source: str, target: str) -> Path:
    """Name the file of a mirror by both URLs. Source: the XDG base directory specification."""
    home = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(home) if home.startswith("/") else Path.home() / ".local" / "state"
    name = hashlib.sha256(f"{source}\n{target}".encode()).hexdigest()[:32]
    return folder / "hashserver-aio" / "mirrors" / f"{name}.json"

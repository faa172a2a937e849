"""`hashserver-aio reindex` and `verify`: go through all that a directory holds."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from ..catalogue.opening import opened
from ..checksums import Algorithm
from ..errors import HashserverError
from ..inspecting import Findings, Inspection
from ..server import logs
from ..settings import DEFAULT_LOCK_TIMEOUT_S, Layout, Settings
from .options import ALGORITHMS, LAYOUTS
from .values import FOLDER, SECONDS, Folders

INTERRUPTED = 130
"""What shells make of Ctrl-C."""

_layout = click.option("--layout", type=click.Choice(LAYOUTS), help="[default: what DIRECTORY has]")
_algorithm = click.option(
    "--hash-algorithm", type=click.Choice(ALGORITHMS), help="[default: what DIRECTORY has]"
)
_lock_timeout = click.option(
    "--lock-timeout",
    type=SECONDS,
    default=DEFAULT_LOCK_TIMEOUT_S,
    show_default=True,
    metavar="S",
    help="A corrupt file that is younger is left in place: somebody may be writing it.",
)
_extra_dirs = click.option(
    "--extra-dirs",
    type=Folders(),
    default=(),
    envvar="HASHSERVER_EXTRA_DIRS",
    help="As for run: these are gone through as well.",
)
_catalogue = click.option(
    "--catalogue", metavar="URL", envvar="HASHSERVER_CATALOGUE", help="As for run. [default: in DIRECTORY]"
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command()
@click.argument("directory", type=FOLDER)
@click.option("--verify", "everything", is_flag=True, help="Hash also what is known to be good.")
@_lock_timeout
@_extra_dirs
@_layout
@_algorithm
@_catalogue
@_json
def reindex(directory: Path, everything: bool, catalogue: str | None, as_json: bool, **given: Any) -> None:
    """Complete the catalogue of DIRECTORY: hash what other programs put there.

    What is known is skipped, what is corrupt is reported and put into quarantine (unless it is young,
    or lies in an extra directory), what is gone is listed as deleted. Servers may run meanwhile.
    When it is interrupted, the same command goes on. Name all --extra-dirs that the servers have.

    \b
    Exit codes: 0, all is good; 1, something is corrupt, or can't be read or catalogued; 130, interrupted.
    """
    # With a catalogue elsewhere the directory need not be one that can be written.
    settings = replace(_settings(directory, **given), writable=catalogue is None, catalogue=catalogue)
    note = "reindex --verify" if everything else None  # else what is known is skipped anyway
    _report(_inspect(settings, note=note, everything=everything, complete=True), as_json)


@click.command()
@click.argument("directory", type=FOLDER)
@click.option("--quarantine", is_flag=True, help="Put what is corrupt aside, unless it is young.")
@_lock_timeout
@_extra_dirs
@_layout
@_algorithm
@_json
def verify(directory: Path, quarantine: bool, as_json: bool, **given: Any) -> None:
    """Hash every file of DIRECTORY and report what does not fit its name. Nothing is changed
    without --quarantine.

    \b
    Exit codes: 0, all is good; 1, something is corrupt or can't be read; 130, interrupted.
    """
    settings = replace(_settings(directory, **given), writable=quarantine, catalogue="memory:")
    _report(_inspect(settings, note=None, everything=True, complete=False), as_json)


def _settings(
    directory: Path,
    lock_timeout: float,
    extra_dirs: tuple[Path, ...],
    layout: str | None,
    hash_algorithm: str | None,
) -> Settings:
    return Settings(
        directory=directory,
        lock_timeout_s=lock_timeout,
        extra_dirs=extra_dirs,
        layout=Layout(layout) if layout else None,
        algorithm=Algorithm(hash_algorithm) if hash_algorithm else None,
    )


async def _inspect(settings: Settings, *, note: str | None, everything: bool, complete: bool) -> Findings:
    async with opened(settings) as (store, catalogue):
        inspection = Inspection(store, catalogue, note=note, everything=everything)
        with _Progress() as progress:
            findings = await inspection.run(progress.tell)
            if complete:
                await inspection.forget_absent()
        return findings


class _Progress:
    """A bar on a terminal; its label elsewhere."""

    STEPS = 1000

    def __init__(self) -> None:
        self._bar = click.progressbar(length=self.STEPS, label="inspecting", file=sys.stderr)

    def __enter__(self) -> _Progress:
        self._bar.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(None, None, None)

    def tell(self, findings: Findings) -> None:
        """Show how far it got."""
        step = int(findings.done * self.STEPS)
        if step > self._bar.pos:
            self._bar.update(step - self._bar.pos)


def _report(work: Coroutine[None, None, Findings], as_json: bool) -> None:
    logs.configure("warning", as_json=False)
    try:
        findings = asyncio.run(work)
    except HashserverError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        click.echo("interrupted; reindex goes on from here, verify begins anew", err=True)
        raise SystemExit(INTERRUPTED) from None
    click.echo(json.dumps(asdict(findings)) if as_json else "\n".join(_lines(findings)))
    if findings.bad or findings.unreadable or findings.uncatalogued:
        raise SystemExit(1)


def _lines(findings: Findings) -> list[str]:
    told = {
        f"known        {findings.known:,} skipped": findings.known,
        f"gone         {findings.gone:,} listed as deleted": findings.gone,
        f"CORRUPT      {findings.bad:,}": findings.bad,
        f"UNREADABLE   {findings.unreadable:,}": findings.unreadable,
        f"UNCATALOGUED {findings.uncatalogued:,}": findings.uncatalogued,
    }
    hashed = f"hashed       {findings.good + findings.bad:,} files, {findings.size:,} bytes"
    return [hashed, f"good         {findings.good:,}", *(line for line, count in told.items() if count)]

"""`hashserver-aio get` and `cat`: buffers from a server, verified."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import click

from ..client import Client
from ..errors import BufferNotFound, ChecksumMismatch
from .remote import Bar, algorithm_of, connect, json_option, names_argument, run, sha256_option, url_option
from .values import FILE

OF_ONE = (BufferNotFound, ChecksumMismatch)
"""What is said of one buffer, and does not keep the others."""


@click.command()
@names_argument
@click.option(
    "-o",
    "--output",
    type=FILE,
    default=Path("."),
    help="A folder, or a file for one NAME; - for stdout. [default: .]",
)
@sha256_option
@url_option
@json_option
def get(names: tuple[str, ...], output: Path, by_sha256: bool, url: str, as_json: bool) -> None:
    """Save buffers as files, each of which is there once it is whole and verified.

    NAME... may be - to read names from stdin, one a line (what follows a blank is ignored).

    \b
    Examples:
      hashserver-aio get 3338be69.. -o greeting
      hashserver-aio get - -o folder < names
    Exit codes: 0, all are saved; 1, not all; 2, wrong usage; 130, interrupted.
    """
    if output == Path("-"):
        if as_json:
            raise click.UsageError("stdout is for the bytes: no --json.")
        run(_print(names, by_sha256, url))
        return
    if len(names) > 1 and not output.is_dir():
        raise click.UsageError(f"{output} is no folder, which several buffers need.")
    run(_save(names, output, by_sha256, url, as_json))


@click.command()
@names_argument
@sha256_option
@url_option
def cat(names: tuple[str, ...], by_sha256: bool, url: str) -> None:
    """Write buffers to stdout, one after the other.

    The end of one that turns out to be wrong is not written, and the exit code is 1.
    """
    run(_print(names, by_sha256, url))


async def _print(names: tuple[str, ...], by_sha256: bool, url: str) -> bool:
    async with connect(url) as client:
        for name in names:
            async for piece in client.stream(name, algorithm=algorithm_of(by_sha256)):
                await asyncio.to_thread(sys.stdout.buffer.write, piece)
        await asyncio.to_thread(sys.stdout.buffer.flush)
    return True


async def _save(names: tuple[str, ...], output: Path, by_sha256: bool, url: str, as_json: bool) -> bool:
    is_folder = await asyncio.to_thread(output.is_dir)
    failures = 0
    async with connect(url) as client:
        for name in names:
            path = output / name.lower() if is_folder else output
            try:
                size = await _download(client, name, path, algorithm_of(by_sha256))
            except OF_ONE as error:
                failures += 1
                _tell({"name": name, "error": str(error)}, f"{error}", as_json, is_error=True)
            else:
                _tell({"name": name, "path": str(path), "size": size}, f"{name}  {path}", as_json)
    return not failures


async def _download(client: Client, name: str, path: Path, algorithm: str | None) -> int:
    with Bar(name[:12]) as bar:
        return await client.download(name, path, algorithm=algorithm, progress=bar.at)


def _tell(told: dict[str, object], line: str, as_json: bool, *, is_error: bool = False) -> None:
    if as_json:
        click.echo(json.dumps(told))
    else:
        click.echo(line, err=is_error)

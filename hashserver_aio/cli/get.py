"""`hashserver-aio get` and `cat`: buffers from a server, verified."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from ..client import Client
from ..client.downloads import filename_of, is_url
from ..client.together import all_of
from ..errors import (
    BadChecksum,
    BufferNotFound,
    Busy,
    ChecksumMismatch,
    HashserverError,
    NoSpace,
    NotPermitted,
)
from .remote import Bar, algorithm_of, connect, json_option, names_argument, run, sha256_option, url_option
from .values import FILE

OF_ONE = BufferNotFound | ChecksumMismatch | BadChecksum | Busy | NoSpace | NotPermitted
"""What is said of one buffer, and does not keep the others. Of a URL everything is."""

MAX_WORKERS = 32

AT_ONCE = 4
"""So many files at a time: small ones take longer to ask for than to send."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How files are to be saved."""

    output: Path
    is_folder: bool
    algorithm: str | None
    workers: int
    as_json: bool

    def path(self, name: str) -> Path:
        """Say where a file goes. Raises: UsageError."""
        try:
            filename = filename_of(name)
        except BadChecksum:
            raise click.UsageError(f"{name!r} is neither a checksum (64 digits) nor a URL.") from None
        except HashserverError as error:
            raise click.UsageError(f"{name}: {error}") from None
        return self.output / filename if self.is_folder else self.output


@click.command()
@names_argument("URL|CHECKSUM...")
@click.option(
    "-o",
    "--output",
    type=FILE,
    default=Path("."),
    help="A folder, or a file for one of them; of a CHECKSUM also -, stdout. [default: .]",
)
@click.option(
    "--workers",
    type=click.IntRange(1, MAX_WORKERS),
    default=4,
    show_default=True,
    help="So many requests at a time.",
)
@click.option(
    "--mirror",
    "mirrors",
    metavar="URL",
    multiple=True,
    help="Another server that has them, or for one file its URL there; may be given several times.",
)
@sha256_option
@url_option
@json_option
def get(
    names: tuple[str, ...],
    output: Path,
    workers: int,
    mirrors: tuple[str, ...],
    by_sha256: bool,
    url: str,
    as_json: bool,
) -> None:
    """Save buffers, and files of any server, each of which is there once it is whole and verified.

    They come in parts, each of which is checked as it arrives, and fetched again if it is wrong. The same
    command goes on where it was interrupted: what there is of FILE lies in FILE.part.

    A CHECKSUM is asked of the server of --url. A URL of a server that does not say what its files hash to
    has to end in that. A lone - reads them from stdin, one a line (what follows a blank is ignored).

    \b
    Examples:
      hashserver-aio get 3338be69.. -o greeting
      hashserver-aio get http://one/data/big.bin --mirror http://two
      hashserver-aio get https://example.org/image.iso#sha256=9f86d081..
      hashserver-aio get - -o folder < names
    Exit codes: 0, all are saved; 1, not all; 2, wrong usage; 130, interrupted.
    """
    if output == Path("-"):
        if as_json:
            raise click.UsageError("stdout is for the bytes: no --json.")
        if any(map(is_url, names)):
            raise click.UsageError("URLs are saved as files: say -o FILE.")
        run(_print(names, by_sha256, url))
        return
    names = tuple(dict.fromkeys(name if is_url(name) else name.lower() for name in names))
    if len(names) > 1:
        _make_folder(output)
    asked = Asked(output, output.is_dir(), algorithm_of(by_sha256), workers, as_json)
    _check_paths(names, asked)
    run(_save(names, asked, connect(url, mirrors=mirrors, transfers=workers)))


@click.command()
@names_argument()
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


async def _save(names: tuple[str, ...], asked: Asked, client: Client) -> bool:
    paths = {name: asked.path(name) for name in names}
    waiting, failures = iter(paths.items()), 0

    async def save(bar: Bar) -> None:
        nonlocal failures
        for name, path in waiting:
            try:
                size = await client.download(
                    name, path, algorithm=asked.algorithm, workers=asked.workers, progress=bar.part()
                )
            except (HashserverError, OSError) as error:
                if not _is_of_one(error, name):
                    raise
                failures += 1
                text = _worded(error, name)
                _tell(bar, {"name": name, "error": text}, text, asked.as_json, is_error=True)
            else:
                told = {"name": name, "path": str(path), "size": size}
                _tell(bar, told, f"{name}  {path}", asked.as_json)

    async with client:
        with Bar(names[0].rpartition("/")[2][:20] if len(names) == 1 else f"{len(names)} files") as bar:
            await all_of(save(bar) for _ in range(AT_ONCE))
    return not failures


def _is_of_one(error: Exception, name: str) -> bool:
    """Tell whether what went wrong with a file does not keep the others."""
    return isinstance(error, OSError | OF_ONE) or is_url(name)


def _worded(error: Exception, name: str) -> str:
    """Say of which file it is."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return text if name.lower() in text.lower() else f"{name}: {text}"


def _make_folder(output: Path) -> None:
    """Raises: UsageError, if it can't be one."""
    try:
        output.mkdir(exist_ok=True)
    except OSError as error:
        raise click.UsageError(
            f"{output} is no folder, which several files need: {error.strerror}."
        ) from None


def _check_paths(names: tuple[str, ...], asked: Asked) -> None:
    """Raises: UsageError, if two of them would be saved as the same file."""
    paths: dict[Path, str] = {}
    for name in names:
        other = paths.setdefault(asked.path(name), name)
        if other != name:
            raise click.UsageError(f"{other} and {name} would be the same file, {asked.path(name)}.")


def _tell(bar: Bar, told: dict[str, object], line: str, as_json: bool, *, is_error: bool = False) -> None:
    bar.say(json.dumps(told) if as_json else line, is_error=is_error and not as_json)

"""`hashserver-aio has`, `stat`, `ls` and `rm`: what a server holds."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from ..errors import BufferNotFound
from .remote import algorithm_of, connect, json_option, names_argument, run, sha256_option, url_option


@click.command()
@names_argument()
@sha256_option
@url_option
@json_option
def has(names: tuple[str, ...], by_sha256: bool, url: str, as_json: bool) -> None:
    """Tell which buffers a server holds. NAME... may be - to read names from stdin.

    Exit codes: 0, all are held; 1, not all; 2, wrong usage.
    """
    run(_has(list(names), by_sha256, url, as_json))


async def _has(names: list[str], by_sha256: bool, url: str, as_json: bool) -> bool:
    async with connect(url) as client:
        answers = await client.has(names, algorithm=algorithm_of(by_sha256))
    for name, is_held in zip(names, answers, strict=True):
        line = f"{name}  {'held' if is_held else 'absent'}"
        click.echo(json.dumps({"name": name, "held": is_held}) if as_json else line)
    return all(answers)


@click.command()
@names_argument()
@sha256_option
@url_option
@json_option
def stat(names: tuple[str, ...], by_sha256: bool, url: str, as_json: bool) -> None:
    """Tell size, SHA-256 and time of buffers. NAME... may be - to read names from stdin.

    Exit codes: 0, all are held; 1, not all; 2, wrong usage.
    """
    run(_stat(names, by_sha256, url, as_json))


async def _stat(names: tuple[str, ...], by_sha256: bool, url: str, as_json: bool) -> bool:
    all_held = True
    async with connect(url) as client:
        for name in names:
            try:
                held = await client.stat(name, algorithm=algorithm_of(by_sha256))
            except BufferNotFound as error:
                all_held = False
                click.echo(
                    json.dumps({"name": name, "error": str(error)}) if as_json else str(error),
                    err=not as_json,
                )
                continue
            modified = held.modified and held.modified.isoformat()
            told = {"name": held.name, "size": held.size, "sha256": held.sha256, "modified": modified}
            words = (f"{key}={value}" for key, value in told.items() if key != "name" and value is not None)
            click.echo(json.dumps(told) if as_json else f"{held.name}  {' '.join(words)}")
    return all_held


@click.command()
@names_argument()
@sha256_option
@url_option
@json_option
def rm(names: tuple[str, ...], by_sha256: bool, url: str, as_json: bool) -> None:
    """Delete buffers, for good (of a server with --allow-delete). NAME... may be - to read names from stdin.

    Exit codes: 0, all were there and are gone; 1, not all were there; 2, wrong usage.
    """
    run(_rm(names, by_sha256, url, as_json))


async def _rm(names: tuple[str, ...], by_sha256: bool, url: str, as_json: bool) -> bool:
    all_held = True
    async with connect(url) as client:
        for name in names:
            was_held = await client.remove(name, algorithm=algorithm_of(by_sha256))
            all_held = all_held and was_held
            line = f"{name}  {'removed' if was_held else 'absent'}"
            click.echo(json.dumps({"name": name, "removed": was_held}) if as_json else line)
    return all_held


@click.command()
@click.option("--offset", type=click.IntRange(0), default=0, help="Begin at this number. [default: 0]")
@click.option(
    "--feed-id", default="", help="The feed that the number is of: an error if it is another by now."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@url_option
@json_option
def ls(offset: int, feed_id: str, follow: bool, url: str, as_json: bool) -> None:
    """List what a server holds, in the order of arrival: number, SHA-256, size.

    \b
    Examples:
      hashserver-aio ls --follow
      hashserver-aio ls | cut -d' ' -f2 | hashserver-aio get --sha256 - -o folder
    """
    run(_ls(offset, feed_id, follow, url, as_json))


async def _ls(offset: int, feed_id: str, follow: bool, url: str, as_json: bool) -> bool:
    async with connect(url) as client:
        async for arrival in client.feed(offset, feed_id=feed_id, wait=follow):
            line = f"{arrival.index} {arrival.sha256} {arrival.size}"
            click.echo(json.dumps(asdict(arrival)) if as_json else line)
    return True

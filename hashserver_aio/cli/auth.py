"""`hashserver-aio auth`: who may do what."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from pathlib import Path

import click

from ..access import Permission, parse
from ..passwords import Scrypt, digest_of, new_key
from .values import FILE

_BARE = re.compile(r"[A-Za-z0-9_-]+")

MODE = 0o600
"""Nobody else needs to see even the hashes."""


@click.group()
def auth() -> None:
    """Say who may do what, in the file that `run --auth-file` reads."""


@auth.command()
@click.argument("name")
@click.option(
    "--auth-file",
    "path",
    type=FILE,
    required=True,
    envvar="HASHSERVER_AUTH_FILE",
    show_envvar=True,
    help="The file; it is made if need be.",
)
@click.option(
    "-p",
    "--permission",
    "permissions",
    type=click.Choice([str(each) for each in Permission]),
    multiple=True,
    required=True,
    help="What NAME may do; may be repeated.",
)
@click.option("--key", "is_key", is_flag=True, help="Make a key for a program, and print it once.")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin, not from the terminal.")
def add(name: str, path: Path, permissions: tuple[str, ...], is_key: bool, password_stdin: bool) -> None:
    """Add the user NAME, or with --key a key called NAME. Running servers see it within a second.

    A user is told by HTTP Basic; a key is sent as `Authorization: Bearer KEY` or `X-API-KEY: KEY`.

    \b
    Examples:
      hashserver-aio auth add alice -p read -p write --auth-file auth.toml
      hashserver-aio auth add backup --key -p read --auth-file auth.toml
      hashserver-aio run --dir /srv/buffers --writable --auth-file auth.toml

    To take somebody out, remove the lines of the file. What everybody may do is said there too:
    [anonymous] permissions = ["read"]
    """
    if not name or (is_key and password_stdin):
        raise click.UsageError("Give a name, and either --key or a password.")
    held = _read(path)
    if name in tomllib.loads(held).get("keys" if is_key else "users", {}):
        raise click.ClickException(f"{name} is there already; remove its lines from {path} first")
    if is_key:
        key = new_key()
        _append(path, held, "keys", name, "sha256", digest_of(key).hex(), permissions)
        click.echo(key)
    else:
        scrypt = Scrypt.of(_password(from_stdin=password_stdin))
        _append(path, held, "users", name, "password", str(scrypt), permissions)
        click.echo(f"{name} added to {path}", err=True)


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        parse(text)
        return text
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise click.ClickException(f"{path} can't be added to: {error}") from None


def _password(*, from_stdin: bool) -> str:
    if not from_stdin and not sys.stdin.isatty():
        raise click.ClickException("there is no terminal to ask for a password: use --password-stdin")
    if from_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if not password or "\0" in password:
        raise click.ClickException("an empty password is none, nor is one with a NUL")
    return password


def _append(
    path: Path, held: str, kind: str, name: str, setting: str, value: str, permissions: tuple[str, ...]
) -> None:
    """Append a table, in one write: a server that reads meanwhile sees all of it or takes it later."""
    title = name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
    gap = "\n" if held else ""
    text = f'{gap}[{kind}.{title}]\n{setting} = "{value}"\npermissions = {json.dumps(list(permissions))}\n'
    if held and not held.endswith("\n"):
        text = "\n" + text
    try:
        parse(held + text)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise click.ClickException(f"{path} can't be written: {error.strerror}") from None
    except ValueError as error:
        raise click.ClickException(f"{path} can't be added to: {error}") from None

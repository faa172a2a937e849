"""Who may do what: a file of users and keys, each with what it is allowed.

Secrets are kept as hashes, compared in constant time, and never worded.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import os
import secrets
import time
import tomllib
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from .errors import Busy, CannotStart
from .passwords import HASH_BYTES, NOBODYS, Scrypt, digest_of

log = logging.getLogger(__name__)

FRESH_S = 1.0
"""A change of the file counts after so long at most."""

REMEMBERED_S = 300.0
MAX_REMEMBERED = 1_000
"""Wrong passwords, each as an HMAC and a time; a right one is remembered for each user."""

SCRYPT_THREADS = 2
MAX_WAITING = 64
"""Passwords that wait to be checked, at 50 ms and 16 MiB each; more would wait for seconds."""


class Permission(StrEnum):
    """What somebody may do."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    FETCH = "fetch"
    ADMIN = "admin"
    """All of the others."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, and what that is allowed; `name` is "" for everybody."""

    name: str
    permissions: frozenset[Permission]

    def may(self, permission: Permission) -> bool:
        """Tell whether something is allowed."""
        return permission in self.permissions or Permission.ADMIN in self.permissions


@dataclass(frozen=True, slots=True)
class Basic:
    """A user's name and password."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Key:
    """A key, sent as a bearer token or in a header of its own."""

    secret: str = field(repr=False)


Credentials = Basic | Key

_User = tuple[Scrypt, Principal]


class Known(NamedTuple):
    """Whose credentials some are, as long as the file stays, and until some monotonic seconds."""

    principal: Principal
    until_s: float


@dataclass(frozen=True, slots=True)
class _Table:
    """What the file says: users by name, keys by the SHA-256 of the secret."""

    users: Mapping[str, _User]
    keys: Mapping[bytes, Principal]
    anonymous: Principal


class AccessFile:
    """An access file, read anew when it changes; one that can't be read changes nothing."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises: CannotStart.
        """
        self._path = path
        self._seen = _identity(path)
        self._table = _read(path)
        self._version = 1
        self._fresh_until_s = time.monotonic() + FRESH_S
        self._right: dict[str, tuple[bytes, float]] = {}
        self._wrong: OrderedDict[bytes, float] = OrderedDict()
        self._checking: dict[bytes, asyncio.Task[bool]] = {}
        self._key = secrets.token_bytes(32)
        self._threads = ThreadPoolExecutor(SCRYPT_THREADS, "scrypt")

    def close(self) -> None:
        """Check no more passwords."""
        self._threads.shutdown()

    @property
    def version(self) -> int:
        """How often the file was read: what was known of an earlier version holds no more."""
        self._current()
        return self._version

    @property
    def anonymous(self) -> Principal:
        """What everybody may do."""
        return self._current().anonymous

    def everybody_may(self, permission: Permission) -> bool:
        """Tell whether something needs no credentials."""
        return self.anonymous.may(permission)

    def recall(self, credentials: Credentials) -> Known | None:
        """Tell whose credentials these are, unless they are wrong or a password is to be checked first."""
        table = self._current()
        if isinstance(credentials, Key):
            principal = table.keys.get(digest_of(credentials.secret))
            return Known(principal, math.inf) if principal else None
        user = table.users.get(credentials.user)
        right_key, until_s = self._right.get(credentials.user, (b"", 0.0))
        is_right = hmac.compare_digest(self._sealed(user, credentials), right_key)
        return Known(user[1], until_s) if user and is_right and time.monotonic() < until_s else None

    async def identify(self, credentials: Credentials) -> Principal | None:
        """Tell whose credentials these are; None if they are wrong.

        Raises: Busy, if too many passwords wait to be checked.
        """
        known = self.recall(credentials)
        if known is not None:
            return known.principal
        if isinstance(credentials, Key):
            return None
        user = self._current().users.get(credentials.user)
        right = await self._is_right(user, credentials)
        return user[1] if user and right else None

    def _sealed(self, user: _User | None, given: Basic) -> bytes:
        """Name a password, under what the file says of its user: the name tells nothing of it."""
        scrypt = user[0] if user else NOBODYS
        text = "\0".join((given.user, given.password)).encode()
        return hmac.digest(self._key, scrypt.salt + scrypt.digest + text, "sha256")

    async def _is_right(self, user: _User | None, given: Basic) -> bool:
        key = self._sealed(user, given)
        if time.monotonic() < self._wrong.get(key, 0.0):
            return False
        scrypt = user[0] if user else NOBODYS  # a name that is unknown takes as long
        checking = self._checking.get(key)
        if checking is None:
            if len(self._checking) >= MAX_WAITING:
                raise Busy("too many passwords wait to be checked; try again")
            checking = self._checking[key] = asyncio.create_task(self._check(key, scrypt, given))
        return await asyncio.shield(checking)  # others may wait for the same verdict

    async def _check(self, key: bytes, scrypt: Scrypt, given: Basic) -> bool:
        try:
            loop = asyncio.get_running_loop()
            verdict = await loop.run_in_executor(self._threads, scrypt.fits, given.password)
        finally:
            del self._checking[key]
        until_s = time.monotonic() + REMEMBERED_S
        if verdict:
            self._right[given.user] = key, until_s  # no more than there are users
        else:
            self._wrong[key] = until_s
            if len(self._wrong) > MAX_REMEMBERED:
                self._wrong.popitem(last=False)
        return verdict

    def _current(self) -> _Table:
        now_s = time.monotonic()
        if now_s >= self._fresh_until_s:
            self._fresh_until_s = now_s + FRESH_S
            seen = _identity(self._path)
            if seen != self._seen:
                self._seen = seen
                self._reload()
        return self._table

    def _reload(self) -> None:
        try:
            self._table = _read(self._path)
            self._version += 1
            log.info(
                "access file read anew: %d users, %d keys", len(self._table.users), len(self._table.keys)
            )
        except CannotStart as error:
            log.error("%s; what it said before still holds", error)


def _identity(path: Path) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read(path: Path) -> _Table:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise CannotStart(f"the access file {path} can't be read: {reason}") from None
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise CannotStart(f"the access file {path} is wrong: {error}") from None


def parse(text: str) -> _Table:
    """Read an access file.

    Raises: ValueError, naming the entry that is wrong, never what it holds.
    """
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise ValueError("it is no TOML") from None  # the error would quote it
    unknown = given.keys() - {"users", "keys", "anonymous"}
    if unknown:
        raise ValueError(
            f"[{sorted(unknown)[0]}] is unknown; there are [users.NAME], [keys.NAME], [anonymous]"
        )
    users = {name: _user(name, entry) for name, entry in _tables(given, "users")}
    keys = dict(_key(name, entry) for name, entry in _tables(given, "keys"))
    everybody = given.get("anonymous", {"permissions": []})
    return _Table(users, keys, Principal("", _permissions("anonymous", everybody)))


def _tables(given: dict[str, Any], kind: str) -> list[tuple[str, dict[str, Any]]]:
    tables = given.get(kind, {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ValueError(f"[{kind}] holds tables only, [{kind}.NAME]")
    return list(tables.items())


def _user(name: str, entry: dict[str, Any]) -> tuple[Scrypt, Principal]:
    if ":" in name:
        raise ValueError(f"[users.{name}]: a name has no colon")
    try:
        scrypt = Scrypt.parse(entry["password"])
    except (KeyError, ValueError, AttributeError, TypeError):
        raise ValueError(f"[users.{name}] has no password as `hashserver-aio auth add` makes it") from None
    return scrypt, Principal(name, _permissions(f"users.{name}", entry, "password"))


def _key(name: str, entry: dict[str, Any]) -> tuple[bytes, Principal]:
    try:
        digest = bytes.fromhex(entry["sha256"])
    except (KeyError, ValueError, TypeError):
        digest = b""
    if len(digest) != HASH_BYTES:
        raise ValueError(f"[keys.{name}] has no sha256 as `hashserver-aio auth add --key` makes it")
    return digest, Principal(name, _permissions(f"keys.{name}", entry, "sha256"))


def _permissions(where: str, entry: object, *others: str) -> frozenset[Permission]:
    if not isinstance(entry, dict) or not isinstance(entry.get("permissions"), list):
        raise ValueError(f'[{where}] has no list of permissions, such as ["read", "write"]')
    unknown = entry.keys() - {"permissions", *others}
    if unknown:
        raise ValueError(f"[{where}] has the unknown setting {sorted(unknown)[0]}")
    try:
        return frozenset(map(Permission, entry["permissions"]))
    except ValueError:
        raise ValueError(f"[{where}] has a permission other than {', '.join(Permission)}") from None

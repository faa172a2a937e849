"""Who the server is that a node holds buffers for: its key, believed the first time and pinned from then on.

A node that followed whoever answers at a URL would give its buffers to him, and remove them for him.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from ..checksums import Algorithm
from ..errors import BadArgument, CannotStart
from ..nodes.keys import parse_id
from ..store.filesystem import sync_folder

PIN_FILE = "node-server"
LOCK_FILE = "node.lock"


class Server(NamedTuple):
    """A server: its Ed25519 key, 32 bytes, and the algorithm that its buffers are named by."""

    key: bytes
    algorithm: Algorithm


def read_server(told: object) -> Server:
    """Read what a server tells of itself, or what was kept of that.

    Raises: BadArgument.
    """
    if not isinstance(told, dict):
        raise BadArgument("this is no JSON object with key and algorithm")
    try:
        return Server(parse_id(str(told.get("key"))), Algorithm(str(told.get("algorithm"))))
    except ValueError:
        raise BadArgument(f"{str(told.get('algorithm'))[:100]!r} is no algorithm known here") from None


def pinned(folder: Path) -> Server | None:
    """Tell which server was pinned in a folder of ours; None before the first time.

    Raises: CannotStart.
    """
    path = folder / PIN_FILE
    try:
        return read_server(json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError, BadArgument):
        raise CannotStart(f"{path} can't be understood; remove it to trust the server anew") from None
    except OSError as error:
        raise CannotStart(f"{path} can't be read: {error.strerror}") from None


def pin(folder: Path, server: Server) -> None:
    """Keep which server it is, whole and on the disk. Raises: CannotStart."""
    path = folder / PIN_FILE
    scratch = folder / f"{PIN_FILE}.{secrets.token_hex(8)}.tmp"
    record = {"key": server.key.hex(), "algorithm": str(server.algorithm)}
    try:
        with open(scratch, "x", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
        sync_folder(str(folder))
    except OSError as error:
        raise CannotStart(f"{path} can't be written: {error.strerror}") from None
    finally:
        scratch.unlink(missing_ok=True)


def alone(folder: Path) -> AbstractContextManager[None]:
    """Hold a folder of ours, made if need be, as the one node that is there, while no server with nodes is.

    Two nodes would have one key and two URLs, and each could be told again what the other one has done.
    Raises: CannotStart.
    """
    return _locked(folder, fcntl.LOCK_EX, "another node runs in {}, or a server that has nodes")


def without_node(folder: Path) -> AbstractContextManager[None]:
    """Hold a folder of ours, made if need be, as one in which no node is; any number may.

    A server that had its own directory as a node's would count its own copy as another one, and remove
    that, when it has one too many. Raises: CannotStart.
    """
    return _locked(folder, fcntl.LOCK_SH, "a node runs in {}: a server with nodes needs another directory")


@contextlib.contextmanager
def _locked(folder: Path, how: int, why_not: str) -> Iterator[None]:
    path = folder / LOCK_FILE
    try:
        folder.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotStart(f"{path} can't be made: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise CannotStart(why_not.format(folder.parent)) from None
        raise CannotStart(f"{path} can't be locked: {error.strerror}") from None
    try:
        yield
    finally:
        os.close(descriptor)

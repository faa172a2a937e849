"""Rows of manifests: of buffers, for as long as these are held; of other files, while there is room."""

from __future__ import annotations

import sqlite3
from typing import Any

from ..blocks import Manifest
from ..checksums import Algorithm, Checksum
from ..store import Identity
from ..store.files import FileId
from . import Digested

MAX_FILES_BYTES = 256 * 1024 * 1024
"""Of all rows of files together, those of files that are gone among them; the one written first makes room.

That is enough for 3 TiB in blocks of 2 MiB.
"""

ROW_BYTES = 300
"""What a row takes besides its digests, and its entry in the index."""

Row = tuple[Any, ...]

OF_BUFFER = """
SELECT b.algorithm, b.size, b.block_size, b.sha1s, b.digests, b.roots, b.root
FROM blocks b JOIN arrivals a USING (checksum)
WHERE b.checksum = ? AND b.block_size = ? AND a.deleted_ms IS NULL
"""
OF_FILE = """
SELECT identity, checksum, algorithm, size, block_size, sha1s, digests, roots, root FROM files
WHERE file = ? AND block_size = ?
"""
_KEEP_OF_BUFFER = """
INSERT OR REPLACE INTO blocks (algorithm, size, block_size, sha1s, digests, roots, root, checksum)
SELECT ?, ?, ?, ?, ?, ?, ?, checksum FROM arrivals WHERE checksum = ? AND deleted_ms IS NULL
"""
_KEEP_OF_FILE = """
INSERT INTO files (algorithm, size, block_size, sha1s, digests, roots, root, file, identity, checksum, bytes)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_COUNT = "UPDATE files_total SET bytes = bytes + ?"


def manifest_in(row: Row) -> Manifest:
    """Read what was found of a buffer."""
    return Manifest(Algorithm(row[0]), *row[1:])


def digested_in(row: Row) -> Digested:
    """Read what was found of a file."""
    identity, checksum, *rest = row
    return Digested(Identity(*map(int, identity.split())), Checksum(checksum.hex()), manifest_in((*rest,)))


def file_key(file: FileId) -> str:
    """Word what a file is known by: its numbers may be larger than SQLite's."""
    return f"{file[0]} {file[1]}"


def keep_of_buffer(connection: sqlite3.Connection, checksum: Checksum, manifest: Manifest) -> None:
    """Write the row of a buffer, if it is listed as held."""
    connection.execute(_KEEP_OF_BUFFER, (*_values(manifest), bytes.fromhex(checksum)))


def keep_of_file(connection: sqlite3.Connection, file: FileId, digested: Digested) -> None:
    """Write the row of a file in the place of what there was, and make room for it."""
    identity, checksum, manifest = digested
    key = file_key(file)
    _drop(connection, "file = ? AND block_size = ?", (key, manifest.block_size))
    size = ROW_BYTES + len(manifest.sha1s) + len(manifest.digests) + len(manifest.roots)
    texts = key, " ".join(map(str, identity)), bytes.fromhex(checksum)
    last = connection.execute(_KEEP_OF_FILE, (*_values(manifest), *texts, size)).lastrowid
    connection.execute(_COUNT, (size,))
    while connection.execute("SELECT bytes FROM files_total").fetchone()[0] > MAX_FILES_BYTES:
        if not _drop(connection, "seq = (SELECT min(seq) FROM files) AND seq != ?", (last,)):
            break  # it is larger than all may be, and alone


def _drop(connection: sqlite3.Connection, where: str, values: Row) -> bool:
    """Remove the row of a file; tell whether there was one."""
    row = connection.execute(f"SELECT seq, bytes FROM files WHERE {where}", values).fetchone()
    if row is None:
        return False
    connection.execute("DELETE FROM files WHERE seq = ?", row[:1])
    connection.execute(_COUNT, (-row[1],))
    return True


def _values(m: Manifest) -> Row:
    return str(m.algorithm), m.size, m.block_size, m.sha1s, m.digests, m.roots, m.root

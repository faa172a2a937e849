"""The catalogue's tables, as numbered steps.

A step that has been released is never changed: a change is a further step.
"""

from __future__ import annotations

import secrets
import sqlite3

from ..errors import StoreFailed

STEPS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE arrivals (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        checksum BLOB NOT NULL,
        size INTEGER NOT NULL,
        added_ms INTEGER NOT NULL,
        deleted_ms INTEGER,
        sha256 BLOB
    );
    CREATE UNIQUE INDEX arrivals_checksum ON arrivals (checksum) WHERE deleted_ms IS NULL;
    CREATE UNIQUE INDEX arrivals_sha256 ON arrivals (sha256)
        WHERE deleted_ms IS NULL AND sha256 IS NOT NULL;
    CREATE TABLE stored (
        checksum BLOB NOT NULL,
        place TEXT NOT NULL,
        form TEXT NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        plain_size INTEGER NOT NULL,
        durable INTEGER NOT NULL,
        PRIMARY KEY (checksum, place, form)
    ) WITHOUT ROWID;
    """,
    # So that one look tells all about a file: the join cost as much as the look itself.
    """
    ALTER TABLE stored ADD COLUMN sha256 BLOB;
    UPDATE stored SET sha256 = (
        SELECT a.sha256 FROM arrivals a WHERE a.checksum = stored.checksum AND a.deleted_ms IS NULL
    );
    """,
    # So that nobody counts millions of rows; what is being added is counted before it is there.
    """
    CREATE TABLE totals (count INTEGER NOT NULL, size INTEGER NOT NULL);
    INSERT INTO totals SELECT count(*), ifnull(sum(size), 0) FROM arrivals WHERE deleted_ms IS NULL;
    CREATE TABLE reservations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        checksum BLOB NOT NULL,
        size INTEGER NOT NULL,
        until_ms INTEGER NOT NULL
    );
    CREATE INDEX arrivals_added ON arrivals (added_ms, seq);
    """,
    """
    CREATE TABLE digests (
        checksum BLOB PRIMARY KEY,
        md5 BLOB NOT NULL,
        sha1 BLOB NOT NULL,
        sha512 BLOB NOT NULL
    ) WITHOUT ROWID;
    """,
    # Packed, and with rows of their own: what is long would make every other look at its table slow.
    """
    CREATE TABLE blocks (
        checksum BLOB NOT NULL,
        block_size INTEGER NOT NULL,
        algorithm TEXT NOT NULL,
        size INTEGER NOT NULL,
        sha1s BLOB NOT NULL,
        digests BLOB NOT NULL,
        roots BLOB NOT NULL,
        root BLOB NOT NULL,
        PRIMARY KEY (checksum, block_size)
    );
    """,
    # What files that are no buffers hash to, in the order written, and their sum: nobody shall add them up.
    """
    CREATE TABLE files (
        seq INTEGER PRIMARY KEY,
        file TEXT NOT NULL,
        block_size INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        identity TEXT NOT NULL,
        checksum BLOB NOT NULL,
        algorithm TEXT NOT NULL,
        size INTEGER NOT NULL,
        root BLOB NOT NULL,
        sha1s BLOB NOT NULL,
        digests BLOB NOT NULL,
        roots BLOB NOT NULL,
        UNIQUE (file, block_size)
    );
    CREATE TABLE files_total (bytes INTEGER NOT NULL);
    INSERT INTO files_total VALUES (0);
    """,
    # A store named by SHA-256 has them in arrivals_checksum: another index made each row dearer by a third.
    """
    DROP INDEX arrivals_sha256;
    CREATE UNIQUE INDEX arrivals_sha256 ON arrivals (sha256)
        WHERE deleted_ms IS NULL AND sha256 IS NOT NULL AND sha256 != checksum;
    """,
    # Nodes are listed by height, those seen lately only: the index alone tells who they are.
    """
    CREATE TABLE nodes (
        seq INTEGER PRIMARY KEY,
        address TEXT NOT NULL UNIQUE,
        payout_address TEXT NOT NULL,
        registered_ms INTEGER NOT NULL,
        last_seen_ms INTEGER NOT NULL,
        online_ms INTEGER NOT NULL,
        height INTEGER NOT NULL
    );
    CREATE INDEX nodes_by_height ON nodes (height DESC, seq, last_seen_ms);
    CREATE TABLE submissions (
        node INTEGER NOT NULL,
        block INTEGER NOT NULL,
        response BLOB NOT NULL,
        added_ms INTEGER NOT NULL,
        PRIMARY KEY (node, block)
    ) WITHOUT ROWID;
    """,
    # Nodes that hold buffers have tables of their own; those of dataserv only say that they do. Placements
    # are counted with their nodes and buffers, so that nobody goes through millions of them.
    """
    ALTER TABLE nodes RENAME TO farmers;
    DROP INDEX nodes_by_height;
    CREATE INDEX farmers_by_height ON farmers (height DESC, seq, last_seen_ms);
    CREATE TABLE nodes (
        seq INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        url TEXT NOT NULL,
        payout_address TEXT NOT NULL,
        state TEXT NOT NULL,
        capacity INTEGER NOT NULL,
        used INTEGER NOT NULL,
        full_until_ms INTEGER NOT NULL,
        record REAL NOT NULL,
        passed INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        failure TEXT NOT NULL,
        failed_ms INTEGER NOT NULL,
        registered_ms INTEGER NOT NULL,
        last_seen_ms INTEGER NOT NULL,
        message INTEGER NOT NULL,
        good INTEGER NOT NULL,
        dead INTEGER NOT NULL,
        surplus INTEGER NOT NULL,
        sweep_after BLOB,
        sweep_ms INTEGER
    );
    CREATE UNIQUE INDEX nodes_url ON nodes (url) WHERE url != '';
    CREATE INDEX nodes_swept ON nodes (seq) WHERE sweep_after IS NOT NULL;
    CREATE TABLE placed (
        checksum BLOB PRIMARY KEY,
        size INTEGER NOT NULL,
        root BLOB,
        replicas INTEGER NOT NULL,
        due_ms INTEGER,
        turn INTEGER NOT NULL,
        good INTEGER NOT NULL,
        sha256 BLOB
    ) WITHOUT ROWID;
    CREATE INDEX placed_sha256 ON placed (sha256) WHERE sha256 IS NOT NULL;
    CREATE INDEX placed_due ON placed (due_ms) WHERE due_ms IS NOT NULL;
    CREATE INDEX placed_lacking ON placed (checksum) WHERE good < replicas;
    CREATE TABLE placements (
        checksum BLOB NOT NULL,
        node INTEGER NOT NULL,
        state TEXT NOT NULL,
        size INTEGER NOT NULL,
        strikes INTEGER NOT NULL,
        placed_ms INTEGER NOT NULL,
        audited_ms INTEGER NOT NULL,
        due_ms INTEGER NOT NULL,
        PRIMARY KEY (checksum, node)
    ) WITHOUT ROWID;
    CREATE INDEX placements_due ON placements (due_ms);
    CREATE INDEX placements_node ON placements (node);
    """,
)


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring a catalogue to the newest step; several servers may try at the same time.

    Raises: StoreFailed, if a newer program made it.
    """
    if _version(connection) == len(STEPS):
        return
    connection.execute("BEGIN IMMEDIATE")
    version = _version(connection)
    if version > len(STEPS):
        connection.execute("ROLLBACK")
        raise StoreFailed(f"the catalogue has schema {version}, newer than {len(STEPS)}: upgrade")
    for number, step in enumerate(STEPS[version:], version + 1):
        for statement in filter(str.strip, step.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
    identity = ("feed_id", secrets.token_hex(16))
    connection.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", identity)
    connection.execute("COMMIT")


def refuse_foreign(connection: sqlite3.Connection) -> None:
    """Refuse a file that is no catalogue, before anything in it is changed.

    Raises: StoreFailed.
    """
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if names and not names >= {"meta", "arrivals", "stored"}:
        raise StoreFailed("the catalogue's file is another program's database: name another one")


def _version(connection: sqlite3.Connection) -> int:
    row: tuple[int] = connection.execute("PRAGMA user_version").fetchone()
    return row[0]

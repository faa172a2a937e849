"""Rows of placements: reads, and writes inside a transaction, of the SQLite catalogue.

What is counted of them, in the rows of nodes and buffers, changes with them: in `_change` and in `sweep`.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from ..checksums import Checksum
from .nodes import PAGE, NodeState
from .placements import Placed, Placement, PlacementState, PlacementTotals, Verdict, difference

SWEPT = 500
"""Placements of a node that one transaction changes: for some ten milliseconds others wait for it."""

_PLACED = ", ".join(Placed._fields)
_PLACEMENT = ", ".join(Placement._fields)

_GET_PLACED = f"SELECT {_PLACED} FROM placed WHERE checksum = ?"
_NAMED = "SELECT checksum FROM placed WHERE sha256 = ?"
_GET_PLACEMENT = f"SELECT {_PLACEMENT} FROM placements WHERE checksum = ? AND node = ?"
_GET_PLACEMENTS = f"SELECT {_PLACEMENT} FROM placements WHERE checksum = ? ORDER BY node"
DUE = f"SELECT {_PLACED} FROM placed WHERE due_ms <= ? ORDER BY due_ms, checksum LIMIT {PAGE}"
AUDITS_DUE = f"""
SELECT {_PLACEMENT} FROM placements WHERE due_ms <= ? ORDER BY due_ms, checksum, node LIMIT {PAGE}
"""
LATE = "SELECT 1 FROM placements WHERE due_ms > ? LIMIT 1"
HASTEN = "UPDATE placements SET due_ms = ? + abs(random() % ?) WHERE due_ms > ?"
COUNT = """
SELECT (SELECT count(*) FROM placed), (SELECT count(*) FROM placed WHERE good < replicas),
    ifnull(sum(good), 0), ifnull(sum(dead), 0), ifnull(sum(surplus), 0)
FROM nodes
"""
_BE_DUE = "UPDATE placed SET due_ms = min(ifnull(due_ms, ?), ?), turn = turn + 1 WHERE checksum"
_WANT = """
INSERT INTO placed (checksum, size, root, replicas, due_ms, turn, good)
{} ON CONFLICT (checksum) DO UPDATE SET replicas = excluded.replicas,
    due_ms = min(ifnull(due_ms, excluded.due_ms), excluded.due_ms), turn = turn + 1
"""
# The first turn is a time: a buffer that is not to be placed, and then is again, has another one.
_WANT_ONE = _WANT.format("VALUES (?, ?, NULL, ?, ?, ?, 0)")
_OF_ARRIVALS = """
SELECT checksum, size, NULL, ?, ?, ?, 0 FROM arrivals WHERE seq > ? AND seq <= ? AND deleted_ms IS NULL
"""
_WANT_MORE = f"{_WANT.format(_OF_ARRIVALS)} WHERE placed.replicas < excluded.replicas"
ARRIVED = f"SELECT seq FROM arrivals WHERE seq > ? ORDER BY seq LIMIT {PAGE}"
_LACKS = "SELECT 1 FROM placed WHERE checksum = ? AND good < replicas"
_KEEP = "UPDATE placed SET root = ?, sha256 = ifnull(?, sha256) WHERE checksum = ?"
_SETTLE = "UPDATE placed SET due_ms = ? WHERE checksum = ? AND turn = ?"
_PUT = f"INSERT OR REPLACE INTO placements ({_PLACEMENT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_DROP = "DELETE FROM placements WHERE checksum = ? AND node = ?"
_COUNT_OF_NODE = """
UPDATE nodes SET used = used + ?, good = good + ?, dead = dead + ?, surplus = surplus + ? WHERE seq = ?
"""
_COUNT_OF_BUFFER = "UPDATE placed SET good = good + ? WHERE checksum = ?"
_PASSED = "UPDATE nodes SET record = ?, passed = passed + 1 WHERE seq = ?"
_FAILED = "UPDATE nodes SET record = ?, failed = failed + 1, failure = ?, failed_ms = ? WHERE seq = ?"
SWEEPING = "SELECT seq, state, sweep_after, sweep_ms FROM nodes WHERE sweep_after IS NOT NULL LIMIT 1"
ON_NODE = f"""
SELECT checksum, state, size FROM placements INDEXED BY placements_node
WHERE node = ? AND checksum > ? ORDER BY checksum LIMIT {SWEPT}
"""
OF_SWEEP = "placements INDEXED BY placements_node WHERE node = ? AND checksum > ? AND checksum <= ?"
_SWEPT_DUE = f"{_BE_DUE} IN (SELECT checksum FROM {OF_SWEEP})"
_SWEPT_LESS = f"""
UPDATE placed SET good = good - 1 WHERE checksum IN (SELECT checksum FROM {OF_SWEEP} AND state = 'good')
"""

# -- reading -----------------------------------------------------------------------------------------------


def placed(connection: sqlite3.Connection, checksum: Checksum) -> Placed | None:
    """Tell what is to be on nodes of a buffer."""
    row = connection.execute(_GET_PLACED, (bytes.fromhex(checksum),)).fetchone()
    return None if row is None else _placed(*row)


def named(connection: sqlite3.Connection, sha256: bytes) -> Checksum | None:
    """Find the buffer that is to be on nodes and has this SHA-256."""
    row = connection.execute(_NAMED, (sha256,)).fetchone()
    return None if row is None else Checksum(row[0].hex())


def placements(connection: sqlite3.Connection, checksum: Checksum) -> list[Placement]:
    """Tell where a buffer is."""
    rows = connection.execute(_GET_PLACEMENTS, (bytes.fromhex(checksum),)).fetchall()
    return [_placement(*row) for row in rows]


def due(connection: sqlite3.Connection, now_ms: int) -> list[Placed]:
    """Give a page of buffers that are due."""
    return [_placed(*row) for row in connection.execute(DUE, (now_ms,)).fetchall()]


def audits_due(connection: sqlite3.Connection, now_ms: int) -> list[Placement]:
    """Give a page of placements that are due."""
    return [_placement(*row) for row in connection.execute(AUDITS_DUE, (now_ms,)).fetchall()]


def count(connection: sqlite3.Connection) -> PlacementTotals:
    """Count all of it."""
    return PlacementTotals(*connection.execute(COUNT).fetchone())


def _placed(checksum: bytes, *rest: Any) -> Placed:
    return Placed(Checksum(checksum.hex()), *rest)


def _placement(checksum: bytes, node: int, state: str, *rest: int) -> Placement:
    return Placement(Checksum(checksum.hex()), node, PlacementState(state), *rest)


# -- what is to be where -----------------------------------------------------------------------------------


def want(connection: sqlite3.Connection, checksum: Checksum, size: int, replicas: int, at_ms: int) -> None:
    """Have a buffer placed, or with another number of replicas than before."""
    connection.execute(_WANT_ONE, (bytes.fromhex(checksum), size, replicas, at_ms, at_ms))


def have_arrived(connection: sqlite3.Connection, replicas: int) -> bool:
    """Tell whether there are arrivals that were not looked at."""
    _, after = _reached(connection, replicas)
    return connection.execute(ARRIVED, (after,)).fetchone() is not None


def want_arrivals(connection: sqlite3.Connection, replicas: int, at_ms: int) -> int:
    """Have placed what arrived next, and keep how far that got."""
    feed_id, after = _reached(connection, replicas)
    seqs = connection.execute(ARRIVED, (after,)).fetchall()
    if seqs:
        ((last,),) = seqs[-1:]
        connection.execute(_WANT_MORE, (replicas, at_ms, at_ms, after, last))
        note = ("placing", f"{feed_id} {replicas} {last}")
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", note)
    return len(seqs)


def _reached(connection: sqlite3.Connection, replicas: int) -> tuple[str, int]:
    """Tell the feed-id, and the number of the last arrival that was to be placed so often."""
    notes = "SELECT key, value FROM meta WHERE key IN ('feed_id', 'placing')"
    kept = dict(connection.execute(notes).fetchall())
    feed_id, most, seq = kept.get("placing", "- 0 0").split()
    is_of_these = feed_id == kept["feed_id"] and int(most) >= replicas
    return kept["feed_id"], int(seq) if is_of_these else 0


def unwant(connection: sqlite3.Connection, checksum: Checksum, at_ms: int) -> None:
    """Have a buffer on no node any more."""
    connection.execute("DELETE FROM placed WHERE checksum = ?", (bytes.fromhex(checksum),))
    for each in placements(connection, checksum):
        _change(connection, each, each._replace(state=PlacementState.SURPLUS, due_ms=at_ms))


def settle(connection: sqlite3.Connection, seen: Placed, due_ms: int | None) -> None:
    """Look at a buffer again at a time."""
    connection.execute(_SETTLE, (due_ms, bytes.fromhex(seen.checksum), seen.turn))


def keep_root(connection: sqlite3.Connection, checksum: Checksum, root: bytes, sha256: bytes | None) -> None:
    """Keep what a buffer is checked by, and called."""
    connection.execute(_KEEP, (root, sha256, bytes.fromhex(checksum)))


# -- placements --------------------------------------------------------------------------------------------


def place(connection: sqlite3.Connection, checksum: Checksum, node: int, at_ms: int, due_ms: int) -> None:
    """Note that a node has a buffer."""
    (state,) = connection.execute("SELECT state FROM nodes WHERE seq = ?", (node,)).fetchone() or (None,)
    if state in (None, NodeState.REMOVED, NodeState.DRAINING):
        _be_due(connection, checksum, at_ms)
    if state in (None, NodeState.REMOVED):
        return
    before, wanted = _one(connection, checksum, node), placed(connection, checksum)
    if wanted is None:
        size = before.size if before else 0
        after = Placement(checksum, node, PlacementState.SURPLUS, size, 0, at_ms, at_ms, at_ms)
    else:
        after = Placement(checksum, node, PlacementState.GOOD, wanted.size, 0, at_ms, at_ms, due_ms)
    _change(connection, before, after)


def make_surplus(connection: sqlite3.Connection, checksum: Checksum, node: int, at_ms: int) -> None:
    """Have a node remove a buffer."""
    before = _one(connection, checksum, node)
    if before is not None:
        _change(connection, before, before._replace(state=PlacementState.SURPLUS, due_ms=at_ms))


def audit_at(connection: sqlite3.Connection, checksum: Checksum, node: int, due_ms: int) -> None:
    """Audit a placement at another time."""
    before = _one(connection, checksum, node)
    if before is not None:
        _change(connection, before, before._replace(due_ms=due_ms))


def hasten(connection: sqlite3.Connection, now_ms: int, within_ms: int) -> None:
    """Have all that is due later than that due within it."""
    connection.execute(HASTEN, (now_ms, within_ms, now_ms + within_ms))


def forget(connection: sqlite3.Connection, checksum: Checksum, node: int) -> None:
    """Know nothing of a placement any more."""
    before = _one(connection, checksum, node)
    if before is not None:
        _change(connection, before, None)
        if (
            before.state is PlacementState.GOOD
            or connection.execute(_LACKS, (bytes.fromhex(checksum),)).fetchone()
        ):
            _be_due(connection, checksum, 0)


def judge(connection: sqlite3.Connection, verdict: Verdict) -> None:
    """Note how an audit went, of a placement that still is what it was."""
    before, after = verdict.placement, verdict.outcome
    if _one(connection, before.checksum, before.node) != before:
        return
    _change(connection, before, after)
    if verdict.failure:
        failed = (verdict.record, verdict.failure, verdict.at_ms, before.node)
        connection.execute(_FAILED, failed)
    else:
        connection.execute(_PASSED, (verdict.record, before.node))
    if after.state is not before.state:
        _be_due(connection, before.checksum, verdict.at_ms)


def is_swept(connection: sqlite3.Connection) -> bool:
    """Tell whether there is a node for `sweep`."""
    return connection.execute(SWEEPING).fetchone() is not None


def sweep(connection: sqlite3.Connection) -> bool:
    """Go on with a node whose state changed: its buffers are due; if it was removed, nothing is on it.

    False, if there is no such node.
    """
    row = connection.execute(SWEEPING).fetchone()
    if row is None:
        return False
    node, state, after, at_ms = row
    found = connection.execute(ON_NODE, (node, after)).fetchall()
    if found:
        which = (node, after, found[-1][0])
        connection.execute(_SWEPT_DUE, (at_ms, at_ms, *which))
        if state == NodeState.REMOVED:
            connection.execute(_SWEPT_LESS, which)
            connection.execute(f"DELETE FROM {OF_SWEEP}", which)
            connection.execute(_COUNT_OF_NODE, (*_less(found), node))
    reached = found[-1][0] if len(found) == SWEPT else None
    connection.execute("UPDATE nodes SET sweep_after = ? WHERE seq = ?", (reached, node))
    return True


def _less(found: list[tuple[bytes, str, int]]) -> tuple[int, ...]:
    """Tell what a node's counts change by without some of its placements."""
    states = [state for _, state, _ in found]
    used = sum(size for _, state, size in found if state == PlacementState.GOOD)
    return -used, *(-states.count(state) for state in PlacementState)


def _one(connection: sqlite3.Connection, checksum: Checksum, node: int) -> Placement | None:
    row = connection.execute(_GET_PLACEMENT, (bytes.fromhex(checksum), node)).fetchone()
    return None if row is None else _placement(*row)


def _be_due(connection: sqlite3.Connection, checksum: Checksum, at_ms: int) -> None:
    connection.execute(f"{_BE_DUE} = ?", (at_ms, at_ms, bytes.fromhex(checksum)))


def _change(connection: sqlite3.Connection, before: Placement | None, after: Placement | None) -> None:
    """Put a placement in the place of what it was, and count it so."""
    of = after or before
    assert of is not None
    name = bytes.fromhex(of.checksum)
    if after is None:
        connection.execute(_DROP, (name, of.node))
    else:
        connection.execute(_PUT, (name, *after[1:]))
    used, good, *others = difference(before, after)
    if any((used, good, *others)):
        connection.execute(_COUNT_OF_NODE, (used, good, *others, of.node))
    if good:
        connection.execute(_COUNT_OF_BUFFER, (good, name))

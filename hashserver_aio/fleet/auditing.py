"""Auditing: every placement is asked for leaves chosen at random, and what comes is checked by the root.

What an audit finds changes the record of the node, and ends the placement after enough of it; see
`nodes/record.py` for the figures.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from ..catalogue.nodes import Node, Nodes
from ..catalogue.placements import Placed, Placement, PlacementState, Verdict
from ..checksums import Algorithm
from ..errors import HashserverError, ServerTrouble, ServerUnreachable
from ..nodes.audits import LEAVES, LEAVES_AGAIN, is_passed, make_challenge
from ..nodes.record import DEAD_AT, Failure, after_failing, after_passing, strikes_for
from .answers import failure_of
from .links import Links
from .nodes_now import NodesNow
from .timing import Timing

log = logging.getLogger(__name__)

AT_ONCE = 16
AT_ONCE_A_NODE = 4
"""Audits under way: an answer is half a megabyte, and a slow node is not to be asked by all of them."""

SOON_MS = 1000
"""How soon is looked at again what finds all of its node's turns taken: to wait would hold up all others."""

SUSPECT_AT = 2
"""So many strikes are more than one silence: what could be there in part is asked for more of its leaves."""

PASSED = "passed"

SILENCE = frozenset({Failure.LATE, Failure.UNREACHABLE})
"""Who fails so is not asked more for a moment, or it would hold up the audits of all others."""


class _Failing(NamedTuple):
    """How a node failed just now, and until when that is taken for what else is due of it."""

    failure: Failure
    until_ms: int


class Auditing:
    """Audits the placements that are due."""

    def __init__(
        self,
        rows: Nodes,
        algorithm: Algorithm,
        links: Links,
        now: NodesNow,
        timing: Timing,
        is_awake: Callable[[], bool] = lambda: True,
    ) -> None:
        """`is_awake`: whether nodes had the time to be heard; else nobody is blamed for silence."""
        self._rows = rows
        self._algorithm = algorithm
        self._links = links
        self._now = now
        self._timing = timing
        self._is_awake = is_awake
        self._turns = defaultdict[int, asyncio.Semaphore](lambda: asyncio.Semaphore(AT_ONCE_A_NODE))
        self._failing: dict[int, _Failing] = {}

    async def look_after(self, seen: Placement) -> None:
        """Audit a placement, or have its node remove it, if that is due. Raises: StoreFailed, Busy."""
        placement = self._current(seen)
        node = self._now.get(seen.node)
        if placement is None or placement.due_ms > self._timing.now_ms:  # something changed meanwhile
            return
        placed = self._rows.placed(placement.checksum)
        root = None if placed is None else placed.root
        is_surplus = placement.state is PlacementState.SURPLUS
        if node is None or self._turns[node.seq].locked() or (root is None and not is_surplus):
            await self._put_off(placement, SOON_MS)
            return
        async with self._turns[node.seq]:
            if is_surplus:
                await self._remove(placement, node)
            elif placed is not None and root is not None:
                await self._audit(placed, root, placement, node)

    def _current(self, seen: Placement) -> Placement | None:
        """Tell what a placement is now: what is surplus when it was seen may be one that counts by now."""
        found = self._rows.placements(seen.checksum)
        return next((each for each in found if each.node == seen.node), None)

    async def _put_off(self, placement: Placement, by_ms: int) -> None:
        at_ms = self._timing.again_at_ms(by_ms)
        await self._rows.audit_at(placement.checksum, placement.node, at_ms)

    async def _audit(self, placed: Placed, root: bytes, placement: Placement, node: Node) -> None:
        failure = self._inferred(node)
        is_asked = failure is None
        if is_asked:
            failure = await self._ask(placed, root, node, is_again=placement.strikes >= SUSPECT_AT)
        if failure in SILENCE and not self._may_blame(failure):
            await self._put_off(placement, self._timing.retry_ms)
            return
        await self._judge(placement, node, failure, is_asked=is_asked)

    def _may_blame(self, failure: Failure | None) -> bool:
        """Tell whether it is the node's fault that nothing was heard of it, as far as anybody knows."""
        if not self._is_awake():
            return False
        if failure is Failure.UNREACHABLE and not self._now.is_any_online(self._timing.now_ms):
            log.warning("no node is online: this server may be cut off, so nobody is blamed")
            return False
        return True

    # -- asking ------------------------------------------------------------------------------------------

    def _inferred(self, node: Node) -> Failure | None:
        """Tell what would only take time to find out: a node is offline, or was silent a moment ago."""
        now_ms = self._timing.now_ms
        if not self._now.is_online(node, now_ms):
            return Failure.UNREACHABLE
        failing = self._failing.get(node.seq)
        return failing.failure if failing is not None and now_ms < failing.until_ms else None

    async def _ask(self, placed: Placed, root: bytes, node: Node, *, is_again: bool) -> Failure | None:
        """Ask a node for leaves; for more of them where it failed before, so that chance does not clear
        it.
        """
        leaves = LEAVES_AGAIN if is_again else LEAVES
        challenge = make_challenge(placed.checksum, placed.size, leaves)
        # More leaves take longer: who has a slow line could never be good again.
        deadline_s = self._timing.rules.audit_deadline_s * max(1, len(challenge.leaves) / LEAVES)
        try:
            answer = await self._links.to(node.key, node.url).prove(challenge, deadline_s)
        except ServerTrouble as error:
            failure = failure_of(error)
            if failure in SILENCE:
                until_ms = self._timing.now_ms + self._timing.retry_ms
                self._failing[node.seq] = _Failing(failure, until_ms)
            return failure
        is_right = await asyncio.to_thread(is_passed, challenge, self._algorithm, root, answer)
        return None if is_right else Failure.WRONG

    async def _remove(self, placement: Placement, node: Node) -> None:
        try:
            if not self._now.is_online(node, self._timing.now_ms):
                raise ServerUnreachable("it is not online")
            await self._links.to(node.key, node.url).remove(placement.checksum)
        except HashserverError as error:
            log.info("node %s can't be told to remove a buffer: %s", node.key.hex()[:8], error)
            await self._put_off(placement, self._timing.retry_ms)
        else:
            await self._rows.forget(placement.checksum, placement.node)

    # -- judging -----------------------------------------------------------------------------------------

    async def _judge(
        self, placement: Placement, node: Node, failure: Failure | None, *, is_asked: bool
    ) -> None:
        """Note how an audit went; the record is one of what a node was really asked."""
        node = self._now.get(node.seq) or node  # others were judged meanwhile
        if failure is None:
            record, strikes, state = after_passing(node.record), 0, PlacementState.GOOD
        else:
            record = after_failing(node.record, failure) if is_asked else node.record
            strikes = min(DEAD_AT, placement.strikes + strikes_for(failure))
            is_dead = strikes >= DEAD_AT or placement.state is PlacementState.DEAD
            state = PlacementState.DEAD if is_dead else placement.state
        now_ms = self._timing.now_ms
        due_ms = now_ms + self._timing.next_audit_ms(record, strikes)
        words = "" if failure is None else str(failure)
        self._now.put(node._replace(record=record))
        self._timing.audited(words or PASSED)
        await self._rows.judge(Verdict(placement, now_ms, words, record, strikes, state, due_ms))
        self._tell(placement, node, state, words)

    def _tell(self, placement: Placement, node: Node, state: PlacementState, failure: str) -> None:
        if state is placement.state:
            return
        told = placement.checksum, node.key.hex()[:8]
        if state is PlacementState.DEAD:
            log.warning("%s on node %s is dead: %s", *told, failure)
        else:
            log.info("%s on node %s is good again", *told)

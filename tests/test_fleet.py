"""A server and its nodes, some of which fail, and some of which cheat."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .authority import Authority
from .clients import name
from .fleet import Fleet, bodies_of, fleet_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NODES = ("one", "two", "three", "four", "five", "six")


def held(fleet: Fleet, node: str) -> list[Path]:
    """Name the files of buffers that a node has."""
    return sorted(fleet.directory_of(node).glob("??/*"))


def flip(path: Path) -> None:
    """Change a bit of a file, and let it look as before."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_nodes_that_fail(tmp_path: Path) -> None:
    """Nodes die, lose, flip and truncate: all has its replicas again, and what the server lost comes back."""
    bodies = bodies_of(200, seed=1)
    with fleet_in(tmp_path) as fleet:
        for node in NODES:
            fleet.start(node)
        fleet.put(bodies)
        fleet.until_placed(bodies)

        killed = fleet.node("one")["id"]
        fleet.nodes["one"].kill()
        lost, flipped, cut = (held(fleet, node)[::2] for node in ("two", "three", "four"))
        for path in lost:
            path.unlink()
        for path in flipped:
            if path.stat().st_size:
                flip(path)
        for path in cut:
            os.truncate(path, path.stat().st_size // 2)

        fleet.until("who lost something was caught", lambda: all(
            fleet.node(node)["failed"] for node in ("two", "three", "four")))  # fmt: skip
        fleet.until("nothing is left with who died", lambda: not any(
            killed in nodes for nodes in fleet.holders().values()))  # fmt: skip
        fleet.until_placed(bodies)
        fleet.lose_everything()
        assert fleet.are_served(bodies)
        names = sorted(map(name, bodies))
        fleet.until(
            "all is stored again", lambda: sorted(path.name for path in held(fleet, "server")) == names
        )

        records = {node: fleet.node(node)["record"] for node in NODES[1:]}
        assert max(records["two"], records["three"], records["four"]) < min(records["five"], records["six"])


def test_nodes_that_cheat(tmp_path: Path) -> None:
    """Who answers audits with what it has not got, or not in time, soon has nothing, and nothing is lost."""
    cheats = {"four": "others", "five": "late", "six": "replays"}
    # Of a buffer that is asked for whole each time an old answer is a right one.
    bodies = [body + bytes(1_500_000) for body in bodies_of(30, seed=2)[4:]]
    with fleet_in(tmp_path) as fleet:
        for node in NODES:
            fleet.start(node, cheat=cheats.get(node))
        fleet.put(bodies)
        fleet.until_placed(bodies, *cheats)
        assert {fleet.node(node)["last_failure"] for node in cheats} == {"wrong", "late"}
        assert all(fleet.node(node)["failed"] == 0 for node in NODES[:3])
        fleet.lose_everything()
        assert fleet.are_served(bodies)


def test_nodes_that_lie_of_room(tmp_path: Path) -> None:
    """Who says it has room that it has not got is believed less, and others get what it refuses."""
    bodies = bodies_of(40, seed=3)
    with fleet_in(tmp_path, replicas=2) as fleet:
        fleet.start("one")
        fleet.start("two")
        fleet.start("three", "--capacity", "10K", cheat="boasts")
        fleet.put(bodies)
        fleet.until_placed(bodies)
        boaster = fleet.node("three")
        assert boaster["capacity"] == 2**40 and boaster["used"] <= 10 * 1024
        assert boaster["full"] and boaster["record"] < fleet.node("one")["record"]


def test_a_node_that_registers_twice(tmp_path: Path) -> None:
    """One place counts once, whatever keys it has: only the last one that proved to be there is asked."""
    bodies = bodies_of(10, seed=4)
    with fleet_in(tmp_path, replicas=2) as fleet:
        fleet.start("one")
        first = fleet.node("one")["id"]
        port = fleet.nodes["one"].port
        fleet.nodes["one"].kill()
        fleet.directory_of("one").rename(tmp_path / "away")
        fleet.start("one", "--port", str(port))
        fleet.until("the second key has the place", lambda: fleet.node("one")["id"] != first)
        fleet.start("two")
        fleet.put(bodies)
        fleet.until_placed(bodies)
        assert not any(first in nodes for nodes in fleet.holders().values())


def test_a_node_that_comes_back(tmp_path: Path) -> None:
    """Who was away, and has what it had, holds it again; what is too much by then is taken from somebody."""
    bodies = bodies_of(20, seed=5)
    with fleet_in(tmp_path, replicas=2) as fleet:
        for node in ("one", "two"):
            fleet.start(node)
        fleet.put(bodies)
        fleet.until_placed(bodies)
        away, port = fleet.node("one")["id"], fleet.nodes["one"].port
        fleet.nodes["one"].kill()
        fleet.start("three")
        fleet.until("others have it", lambda: not any(away in nodes for nodes in fleet.holders().values()))
        fleet.until_placed(bodies)
        fleet.start("one", "--port", str(port))
        fleet.until("it is welcome", lambda: fleet.node("one")["placements"]["dead"] == 0)
        fleet.until_placed(bodies)
        fleet.until("nothing is too much", lambda: fleet.listed()["placements"]["surplus"] == 0)
        files = sum(len(held(fleet, node)) for node in ("one", "two", "three"))
        assert files == 2 * len(bodies)


def test_deleted(tmp_path: Path) -> None:
    """What is deleted on purpose goes from the nodes too, and never comes back."""
    bodies = bodies_of(6, seed=6)
    with fleet_in(tmp_path, replicas=2) as fleet:
        for node in ("one", "two"):
            fleet.start(node)
        fleet.put(bodies)
        fleet.until_placed(bodies)
        assert fleet.ask("DELETE", name(bodies[-1])) == 200
        fleet.until(
            "it is gone everywhere", lambda: [len(held(fleet, node)) for node in ("one", "two")] == [5, 5]
        )
        assert fleet.ask("GET", name(bodies[-1])) == 404
        assert fleet.are_served(bodies[:-1])


def test_over_tls(tmp_path: Path, authority: Authority) -> None:
    """A node at an HTTPS URL is spoken to if its certificate is one that the server's system trusts."""
    bodies = bodies_of(5, seed=9)
    with fleet_in(tmp_path, replicas=1, SSL_CERT_FILE=str(authority.root)) as fleet:
        fleet.start("one", *authority.options)
        assert fleet.node("one")["url"].startswith("https://")
        fleet.put(bodies)
        fleet.until_placed(bodies)
        fleet.lose_everything()
        assert fleet.are_served(bodies)


def test_two_servers(tmp_path: Path) -> None:
    """Servers of one directory share its nodes: any brings back what was lost, and one goes on with the
    rest.
    """
    first, second = bodies_of(20, seed=10), bodies_of(20, seed=11)
    with fleet_in(tmp_path, replicas=2) as fleet:
        one, other = fleet.server, fleet.start_server()
        try:
            for node in ("one", "two"):
                fleet.start(node)
            fleet.put(first)
            fleet.until_placed(first)
            fleet.server = other
            fleet.lose_everything()
            assert fleet.are_served(first)
            one.kill()
            fleet.put(second)
            fleet.until_placed(second)
        finally:
            one.kill()


def test_drained(tmp_path: Path) -> None:
    """What a node holds that is drained is with others before it is taken from it."""
    bodies = bodies_of(20, seed=7)
    with fleet_in(tmp_path, replicas=2) as fleet:
        for node in ("one", "two", "three"):
            fleet.start(node)
        fleet.put(bodies)
        fleet.until_placed(bodies)
        drained = fleet.node("one")["id"]
        assert fleet.ask("POST", f"api/nodes/{drained}/drain") == 200
        fleet.until_placed(bodies, "one")
        fleet.until("it has nothing", lambda: held(fleet, "one") == [])
        fleet.lose_everything()
        fleet.nodes["one"].kill()
        assert fleet.are_served(bodies)


def test_a_node_that_relays(tmp_path: Path) -> None:
    """An audit shows that bytes can be had in time: with another node's help also from who has no copy.

    Without that help a challenge is of no use to anybody else, for it is signed for one node.
    """
    bodies = [body + bytes(600_000) for body in bodies_of(14, seed=8)[4:]]
    with fleet_in(tmp_path, replicas=3) as fleet:
        for node in ("one", "two"):
            fleet.start(node)
        partner = str(fleet.directory_of("one"))
        fleet.start("helped", cheat="helped", env={"CHEAT_PARTNER": partner})
        fleet.put(bodies)
        fleet.until_placed(bodies)
        passed = fleet.node("helped")["passed"]
        fleet.until("it passes audits", lambda: fleet.node("helped")["passed"] > passed + len(bodies))
        assert fleet.node("helped")["failed"] == 0 and held(fleet, "helped") == []

        fleet.nodes["one"].kill()  # and now both are found out
        fleet.directory_of("one").rename(tmp_path / "away")
        fleet.until("it was caught", lambda: fleet.node("helped")["failed"] > 0)
        fleet.start("alone", cheat="alone", env={"CHEAT_PARTNER": fleet.nodes["two"].url})
        fleet.until("it was caught, too", lambda: fleet.node("alone")["failed"] > 0)
        fleet.lose_everything()
        assert fleet.are_served(bodies)

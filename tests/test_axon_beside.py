"""Our axon face beside a real Axon: the same requests to both, the same answers, but for what is marked."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from .axon_asks import DATA, OF_THE_PARSER, OTHER_HEADERS, PUT, Marked, cases, deletions
from .axon_peer import RealAxon
from .beside import PATIENCE_S, Answer, Ask, Pair, Side, basic, parse, side_by_side

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

CASES = cases()


@pytest.fixture(scope="module")
def pair(real_axon: RealAxon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both, each with the same two buffers."""
    with side_by_side(real_axon, tmp_path_factory.mktemp("beside") / "buffers") as pair:
        for body in (DATA, b""):
            for answer in pair.ask(Ask("PUT", PUT, body)):
                assert answer.status == 200, answer
        yield pair


def compared(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """Take what has to be the same."""
    headers = {name: value for name, value in answer.headers.items() if name not in OTHER_HEADERS}
    if answer.status >= 400 and headers.get("content-length") == "0":
        headers.pop("content-type", None)  # theirs says that nothing is HTML
    return answer.status, headers, answer.body


def check_marked(marked: Marked, theirs: Answer, ours: Answer) -> None:
    """See that both still are as the mark says, and that an error of ours is worded as theirs are."""
    assert (theirs.status, ours.status) == (marked.theirs, marked.ours), (theirs, ours)
    if marked.body is not None:
        assert ours.body == marked.body
    if ours.status >= 400 and ours.body and marked.reason != OF_THE_PARSER:
        envelope = json.loads(ours.body)
        assert envelope.keys() == {"status", "code", "mesg"} and envelope["status"] == "err"
    if ours.status == 416:
        assert ours.headers["content-range"].startswith("bytes */")


@pytest.mark.parametrize(("ask", "marked"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_same_answer(pair: Pair, ask: Ask, marked: Marked | None) -> None:
    """Whoever speaks to an Axon hears the same from ours, but for what is marked."""
    theirs, ours = pair.ask(ask)
    if marked is None:
        assert compared(ours) == compared(theirs)
    else:
        assert compared(ours) != compared(theirs), "the mark is of a difference that there is not"
        check_marked(marked, theirs, ours)


def test_same_deletions(pair: Pair) -> None:
    """What is stored and deleted, one after the other, is answered and gone alike."""
    for ask in deletions():
        theirs, ours = pair.ask(ask)
        assert compared(ours) == compared(theirs), ask


def _expect(side: Side, user: str, body: bytes) -> tuple[int, Answer]:
    """Announce a body, and send it when it is asked for: what was said first, and the answer."""
    lines = [f"PUT {PUT} HTTP/1.1", "Host: 127.0.0.1", "Authorization: " + basic(user), "Connection: close"]
    lines += [f"Content-Length: {len(body)}", "Expect: 100-continue", "", ""]
    connection = socket.create_connection(("127.0.0.1", side.port), PATIENCE_S)
    if side.context is not None:
        connection = side.context.wrap_socket(connection)
    with connection:
        connection.sendall("\r\n".join(lines).encode())
        first = connection.recv(65536)
        status = int(first.split(b" ", 2)[1])
        if status == 100:
            connection.sendall(body)
            first = b""
        return status, parse(first + b"".join(iter(lambda: connection.recv(65536), b"")))


@pytest.mark.parametrize(("user", "status"), [("all", 100), ("nobody", 403)])
def test_expectation(pair: Pair, user: str, status: int) -> None:
    """A body is asked for, or refused, before it is sent."""
    (their_first, theirs), (our_first, ours) = (
        _expect(side, user, DATA) for side in (pair.theirs, pair.ours)
    )
    assert their_first == our_first == status
    assert compared(ours) == compared(theirs)

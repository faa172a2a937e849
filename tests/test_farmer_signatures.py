"""Addresses and signatures of nodes: those of the real client, and whatever else comes."""

from __future__ import annotations

import time
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hashserver_aio.errors import BadAddress, NotSigned
from hashserver_aio.farmers.addresses import _encoded, parse_address
from hashserver_aio.farmers.signatures import MAX_DATE_LENGTH, check_signature

from .farmer_keys import PAYOUT, VECTORS, NodeKey

GOOD = VECTORS[0]


def check(vector: dict[str, Any], **changes: Any) -> None:
    """Check the headers of a vector, or changed ones."""
    given = {
        "address": vector["sender"],
        "server_address": vector["server"],
        "date": vector["headers"]["Date"],
        "authorization": vector["headers"]["Authorization"],
        "now_s": vector["now"],
    }
    check_signature(**given | changes)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vectors(vector: dict[str, Any]) -> None:
    """What real clients sign is taken, in every form of theirs; of what is wrong in any way nothing is."""
    parse_address(vector["sender"])
    if vector["is_good"]:
        check(vector)
    else:
        with pytest.raises(NotSigned):
            check(vector)


def test_vectors_are_all_there() -> None:
    """There are as many as were made, good and bad ones."""
    assert (len(VECTORS), sum(vector["is_good"] for vector in VECTORS)) == (30, 9)


@pytest.mark.parametrize(
    ("date", "is_now"),
    [
        ("Sun, 22 Nov 2026 01:00:00 +0000", True),
        ("Sun, 22 Nov 2026 01:00:00 -0000", True),
        ("Sun, 22 Nov 2026 01:00:00 GMT", True),
        ("Sun, 22 Nov 2026 01:00:00", True),
        ("22 Nov 2026 01:00:00", True),
        ("Sun, 22 Nov 2026 06:30:00 +0530", True),
        ("Sat, 21 Nov 2026 20:00:00 EST", True),
        ("Sun, 22 Nov 2026 01:00:19 +0000", True),
        ("Sun, 22 Nov 2026 00:59:41 +0000", True),
        ("Sun, 22 Nov 2026 01:00:20 +0000", False),
        ("Sun, 22 Nov 2026 00:59:40 +0000", False),
        ("Sun, 22 Nov 2026 01:00:00 +0100", False),
        ("Sun, 22 Nov 12026 01:00:00 +0000", False),
        ("Sun, 22 Nov 0 01:00:00 +0000", False),
        ("1795309200", False),
        ("now", False),
        (" " * 9, False),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_dates(date: str, is_now: bool, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A date is read as RFC 2822 has it, and as UTC if it has no zone, whatever zone this machine is in."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    key, now_s = NodeKey(5), 1795309200.0
    signed = key.sign(f"{GOOD['server']} {date}")
    try:
        if is_now:
            check_signature(key.address, GOOD["server"], date, signed, now_s)
        else:
            with pytest.raises(NotSigned):
                check_signature(key.address, GOOD["server"], date, signed, now_s)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "date", ["Sun, 22 Nov 2026 01:00:00 +0000é", "Sun, 22 Nov 2026 01:00:00 +0000" + " " * 200]
)
def test_unlikely_dates(date: str) -> None:
    """A date that no client sends is refused, also if it could be read: the signed text stays short."""
    assert len(date) > MAX_DATE_LENGTH or not date.isascii()
    with pytest.raises(NotSigned):
        check(GOOD, date=date)


DATE_LIKE = st.from_regex(
    r"[A-Za-z]{0,4},? ?-?\d{0,12} [A-Za-z]{0,9} -?\d{0,12} \d{0,5}(:\d{0,5}){0,3} ?[-+A-Z\d]{0,9}"
)


@given(date=st.one_of(st.text(max_size=150), DATE_LIKE), now_s=st.floats(0, 2**33))
@example(date="Sun, 22 Nov 99999999999999999999 01:00:00 +0000", now_s=0)
@example(date="Sun, 99 Feb 2026 99:99:99 +999999999", now_s=0)
def test_any_date(date: str, now_s: float) -> None:
    """Whatever stands for a date, it is refused and nothing worse: this one was never signed."""
    with pytest.raises(NotSigned):
        check(GOOD, date="x" if date == GOOD["headers"]["Date"] else date, now_s=now_s)


@given(
    authorization=st.one_of(
        st.text(max_size=100),
        st.binary(min_size=60, max_size=70).map(lambda content: b64encode(content).decode()),
    )
)
@example(authorization="\udcff" * 88)
@example(authorization="=" * 88)
def test_any_authorization(authorization: str) -> None:
    """Whatever stands for a signature, it is refused and nothing worse."""
    with pytest.raises(NotSigned):
        check(GOOD, authorization=authorization)


@pytest.mark.parametrize("address", [GOOD["sender"], GOOD["server"], PAYOUT, "1111111111111111111114oLvT2"])
def test_addresses(address: str) -> None:
    """Addresses of keys and of scripts are addresses."""
    assert parse_address(address) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "notvalidaddress",
        GOOD["sender"][:-1],
        GOOD["sender"] + "1",
        "1" + GOOD["sender"],
        GOOD["sender"][1:],
        GOOD["sender"].lower(),
        f" {GOOD['sender']}",
        GOOD["sender"].replace("4", "0"),
        "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",  # of the test network
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "z" * 35,
        "z" * 10_000,
        _encoded(b"\0" + bytes(19)),
        _encoded(b"\0" + bytes(21)),
        _encoded(b"\1" + bytes(20)),
    ],
)
def test_no_addresses(text: str) -> None:
    """What is spelled wrong, of another length, network or kind is no address."""
    with pytest.raises(BadAddress):
        parse_address(text)


@given(text=st.one_of(st.text(max_size=60), st.text("123456789ABCDEFGHJKLMNPQRSTUVWXYZabc", max_size=36)))
def test_any_address(text: str) -> None:
    """Whatever stands for an address, it is refused and nothing worse: chance makes no checksum."""
    with pytest.raises(BadAddress):
        parse_address(text)


@given(content=st.binary(min_size=20, max_size=20), version=st.sampled_from([0, 5]), at=st.integers(0, 33))
def test_every_address(content: bytes, version: int, at: int) -> None:
    """Every hash has its address; with one letter changed it is none."""
    address = _encoded(bytes([version]) + content)
    assert parse_address(address) == address
    at %= len(address)
    with pytest.raises(BadAddress):
        parse_address(address[:at] + ("2" if address[at] != "2" else "3") + address[at + 1 :])

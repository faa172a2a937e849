"""Bitcoin addresses: Base58Check of a version and of the hash of a key or a script.

Own code, for it is twenty lines. Source: https://en.bitcoin.it/wiki/Base58Check_encoding
"""

from __future__ import annotations

import hashlib

from ..errors import BadAddress

_DIGITS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}

OF_KEY, OF_SCRIPT = 0x00, 0x05
"""Versions. What a script's address holds can be paid to, but has no key to sign with."""

_BYTES = 1 + 20 + 4
MAX_LENGTH = 35


def parse_address(text: str) -> str:
    """Check an address; its only spelling is the one given.

    Raises: BadAddress.
    """
    if len(text) > MAX_LENGTH or not set(text) <= _VALUES.keys():
        raise BadAddress()
    number = 0
    for digit in text:
        number = number * 58 + _VALUES[digit]
    if number >= 256**_BYTES:
        raise BadAddress()
    whole = number.to_bytes(_BYTES, "big")
    if whole[0] not in (OF_KEY, OF_SCRIPT) or _encoded(whole[:-4]) != text:
        raise BadAddress()
    return text


def address_of(public_key: bytes) -> str:
    """Give the address of a key, in the form (compressed or not) that it is given in."""
    hashed = hashlib.new("ripemd160", hashlib.sha256(public_key).digest()).digest()
    return _encoded(bytes([OF_KEY]) + hashed)


def double_sha256(content: bytes) -> bytes:
    """Hash as Bitcoin does."""
    return hashlib.sha256(hashlib.sha256(content).digest()).digest()


def _encoded(content: bytes) -> str:
    whole = content + double_sha256(content)[:4]
    number, digits = int.from_bytes(whole, "big"), ""
    while number:
        number, value = divmod(number, 58)
        digits = _DIGITS[value] + digits
    return "1" * (len(whole) - len(whole.lstrip(b"\0"))) + digits

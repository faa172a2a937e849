"""Signed headers: a date, and a Bitcoin signed message over the server's address and that date.

A signature is good for any call within twenty seconds of its date: clients use one for several calls, so that
a replay can't be told from them.
"""

from __future__ import annotations

import base64
import binascii
import calendar
from email.utils import parsedate_tz

from coincurve import PublicKey

from ..errors import NotSigned
from .addresses import address_of, double_sha256

GOOD_FOR_S = 20.0

_FIRST_FLAG = 27
_FLAGS = range(_FIRST_FLAG, _FIRST_FLAG + 8)
_COMPRESSED = 4

_SIGNATURE_LENGTH = 88
"""65 bytes in base64."""

MAX_DATE_LENGTH = 128
"""So the signed text is shorter than 253 bytes, and its length a single byte."""

_MAGIC = b"\x18Bitcoin Signed Message:\n"


def check_signature(
    address: str, server_address: str, date: str | None, authorization: str | None, now_s: float
) -> None:
    """Check that who has the key of an address signed this date for this server, and that it is now.

    Raises: NotSigned, whatever is wrong.
    """
    if not date or not authorization or len(date) > MAX_DATE_LENGTH or not date.isascii():
        raise NotSigned()
    if not abs(now_s - _seconds(date)) < GOOD_FOR_S:
        raise NotSigned()
    if _signer(authorization, f"{server_address} {date}".encode()) != address:
        raise NotSigned()


def _seconds(date: str) -> float:
    """Read a date of RFC 2822; without a zone it is UTC. Raises: NotSigned."""
    try:
        parts = parsedate_tz(date)
        if parts is None:
            raise NotSigned()
        return calendar.timegm((*parts[:6], 0, 0, 0)) - (parts[9] or 0)
    except (ValueError, TypeError, IndexError, OverflowError):  # what no calendar has
        raise NotSigned() from None


def _signer(authorization: str, text: bytes) -> str:
    """Tell the address of who signed a text. Raises: NotSigned.

    Both halves of what signs are taken as they are, also a high s: clients do not normalise it.
    """
    if len(authorization) != _SIGNATURE_LENGTH:
        raise NotSigned()
    try:
        flag, *_ = signature = base64.b64decode(authorization, validate=True)
        if len(signature) != 65 or flag not in _FLAGS:
            raise NotSigned()
        recovery, compressed = (flag - _FIRST_FLAG) % _COMPRESSED, flag >= _FIRST_FLAG + _COMPRESSED
        digest = double_sha256(_MAGIC + bytes([len(text)]) + text)
        key = PublicKey.from_signature_and_message(signature[1:] + bytes([recovery]), digest, hasher=None)
    except (ValueError, binascii.Error):  # no base64, or no point of the curve
        raise NotSigned() from None
    return address_of(key.format(compressed=compressed))

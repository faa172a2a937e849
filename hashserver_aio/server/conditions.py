"""Conditional requests: whether what the client has or expects is what there is.

Source: RFC 9110 section 13.2.2, for representations that never change.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from aiohttp import web

from .dates import http_date

NEVER = 1 << 62

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


def failed(request: web.Request, etag: str, modified_s: float) -> HTTPStatus | None:
    """Tell the status that a condition of a GET or HEAD demands; None if all hold."""
    headers = request.headers
    if "If-Match" in headers:
        if not _matches(headers.getall("If-Match"), etag, weak=False):
            return HTTPStatus.PRECONDITION_FAILED
    elif int(modified_s) > _seconds(headers.get("If-Unmodified-Since"), NEVER):
        return HTTPStatus.PRECONDITION_FAILED
    if "If-None-Match" in headers:
        if _matches(headers.getall("If-None-Match"), etag, weak=True):
            return HTTPStatus.NOT_MODIFIED
    elif int(modified_s) <= _seconds(headers.get("If-Modified-Since"), -1):
        return HTTPStatus.NOT_MODIFIED
    return None


def range_holds(request: web.Request, etag: str, modified_s: float) -> bool:
    """Tell whether If-Range, if any, allows a part to be sent."""
    condition = request.headers.get("If-Range")
    if condition is None:
        return True
    if '"' in condition:
        return condition.strip() == f'"{etag}"'
    return condition.strip() == http_date(modified_s)


def _matches(values: list[str], etag: str, *, weak: bool) -> bool:
    text = ",".join(values).strip()
    if text == "*":
        return True
    return any(tag == etag and (weak or not w) for w, tag in _TAG.findall(text))


def _seconds(date: str | None, default: int) -> int:
    """Read an HTTP date as seconds since the epoch; a default for none or a bad one."""
    if date is None:
        return default
    try:
        moment = parsedate_to_datetime(date)
        if moment.tzinfo is None:  # the older forms name no zone and mean UTC
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp())
    except (ValueError, OverflowError, TypeError):
        return default

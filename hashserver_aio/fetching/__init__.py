"""Fetching: buffers that come from, or go to, other HTTP servers, on behalf of a client.

A client names the URL, so what it names may be meant to reach what only this server can reach: every
connection is judged by the address that it really goes to (`guard.py`), and nothing gets around that.
"""

from .addresses import Allowed, parse_allowed
from .fetcher import BufferAccess, Fetcher
from .guard import GuardedConnector
from .lookups import Lookups
from .proxies import configured_proxy
from .requests import FetchRequest, read_request
from .results import FetchInfo

__all__ = [
    "Allowed",
    "BufferAccess",
    "FetchInfo",
    "FetchRequest",
    "Fetcher",
    "GuardedConnector",
    "Lookups",
    "configured_proxy",
    "parse_allowed",
    "read_request",
]

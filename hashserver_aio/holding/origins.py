"""Where a server or a node is: a scheme, a host and a port.

A path has no place there: what is signed are paths from the root on, and a proxy that moves them breaks that.
"""

from __future__ import annotations

from yarl import URL

from ..errors import BadArgument


def origin_of(text: str) -> str:
    """Read the URL of a server or a node: in its usual spelling, without a slash at its end.

    Raises: BadArgument, which does not repeat what was given: there may be a password in it.
    """
    try:
        url = URL(text)
        origin = url.origin()
        is_more = url.raw_path not in ("", "/") or url.raw_query_string or url.raw_fragment or url.user
    except ValueError:
        is_more = True
    if is_more or url.scheme not in ("http", "https"):
        raise BadArgument(
            "the URL of a server or node is http:// or https://, a host, and maybe :port, and nothing more"
        )
    return str(origin)

"""The numbers of a server for Prometheus, whichever of its workers is asked."""

from __future__ import annotations

import asyncio
import gzip

from aiohttp import hdrs, web

from ..access import Permission
from ..store import Form
from .access import guarded
from .codings import accepted_forms
from .keys import METER
from .meter import Reading
from .words import UNCACHED


def routes() -> list[web.RouteDef]:
    """Name the routes."""
    return [*guarded(Permission.READ, web.get("/metrics", metrics))]


async def metrics(request: web.Request) -> web.Response:
    """Answer in the text format of Prometheus, or in OpenMetrics if that is accepted."""
    reading = await request.app[METER].read()
    accept = ",".join(request.headers.getall(hdrs.ACCEPT, ()))
    body, content_type = await asyncio.to_thread(_worded, reading, accept)
    headers = UNCACHED | {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
    if Form.GZIP in accepted_forms(",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ()))):
        body = gzip.compress(body, 1)
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=headers)


def _worded(reading: Reading, accept: str) -> tuple[bytes, str]:
    # Imported late: it takes 20 ms and 2 MB, and many a server is never asked.
    from .exposition import worded

    return worded(reading, accept)

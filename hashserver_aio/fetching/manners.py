"""What holds for each request of a fetch, the redirected ones too.

What shows who asks is for the host that they named, and for no other one that it redirects to. aiohttp
keeps Authorization, Cookie and Proxy-Authorization to the origin; here is what it does not know of.
"""

from __future__ import annotations

from aiohttp import ClientHandlerType, ClientPayloadError, ClientRequest, ClientResponse, hdrs
from yarl import URL

from ..errors import AddressRefused
from .guard import Proxy

MAX_HEADER_LINE_BYTES = 64 * 1024
MAX_HEADERS = 128
MAX_HEAD_BYTES = 256 * 1024
"""All headers of an answer together: they are held, and told in the result, for each redirect."""

_KEY = "X-API-KEY"


class Manners:
    """A client middleware: called for each request of one fetch."""

    def __init__(self, proxy: Proxy | None, *, shows_certificate: bool) -> None:
        self._proxy = proxy
        self._shows_certificate = shows_certificate
        self._origin: URL | None = None

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send a request as it may be sent.

        Raises: AddressRefused, ClientError.
        """
        origin = request.url.origin()
        self._origin = self._origin or origin
        if origin != self._origin:
            request.headers.popall(_KEY, None)
            if self._shows_certificate and request.is_ssl():
                raise AddressRefused(
                    f"{origin.host} is not shown the client certificate that is for another host"
                )
        if self._proxy and self._proxy.authorization and not request.is_ssl():
            request.headers[hdrs.PROXY_AUTHORIZATION] = self._proxy.authorization
        response = await handler(request)
        if "zstd" in response.headers.get(hdrs.CONTENT_ENCODING, "").lower():
            response.close()  # its sender says how much memory it takes: up to 128 MiB
            raise ClientPayloadError("the answer is compressed with zstd, which it was not asked for")
        if sum(len(name) + len(text) for name, text in response.raw_headers) > MAX_HEAD_BYTES:
            response.close()
            raise ClientPayloadError(f"the headers of the answer are longer than {MAX_HEAD_BYTES} bytes")
        return response

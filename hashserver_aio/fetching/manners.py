"""What holds for each request of a fetch, the redirected ones too.

What shows who asks, and what is meant for one host, is for the host that they named, and for no other one
that it redirects to. aiohttp keeps cookies to their origin; the rest is kept here.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import (
    ClientHandlerType,
    ClientPayloadError,
    ClientRequest,
    ClientResponse,
    NonHttpUrlClientError,
    hdrs,
)
from yarl import URL

from ..errors import AddressRefused
from .guard import Proxy

MAX_HEADER_LINE_BYTES = 64 * 1024
MAX_HEADERS = 128
MAX_HEAD_BYTES = 256 * 1024
"""All headers of an answer together: they are held, and told in the result, for each redirect."""

_PRIVATE = frozenset({"authorization", "host", "x-api-key"})


class Manners:
    """A client middleware: called for each request of one fetch. `shared`: the headers for any origin."""

    def __init__(self, headers: Mapping[str, str], proxy: Proxy | None, *, shows_certificate: bool) -> None:
        self.shared = {name: text for name, text in headers.items() if name.lower() not in _PRIVATE}
        self._private = {name: text for name, text in headers.items() if name.lower() in _PRIVATE}
        self._names_host = any(name.lower() == "host" for name in headers)
        self._proxy = proxy
        self._shows_certificate = shows_certificate
        self._origin: URL | None = None
        self._has_left = False

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send a request as it may be sent.

        Raises: AddressRefused, ClientError.
        """
        if not request.url.scheme:  # "//host/", which has no origin either
            raise NonHttpUrlClientError(request.url)
        origin = request.url.origin()
        self._origin = self._origin or origin
        # Who was led away is not led back: the other host would say what is asked in the name of who asks.
        self._has_left = self._has_left or origin != self._origin
        if not self._has_left:
            request.headers.update(self._private)
            if self._proxy and not request.is_ssl() and self._names_host:
                raise AddressRefused("no Host header is given to a proxy: some go by it, and not by the URL")
        if origin != self._origin and self._shows_certificate and request.is_ssl():
            raise AddressRefused(
                f"{origin.host} is not shown the client certificate that is for another host"
            )
        if self._proxy and self._proxy.authorization and not request.is_ssl():
            request.headers[hdrs.PROXY_AUTHORIZATION] = self._proxy.authorization
        response = await handler(request)
        if sum(len(name) + len(text) for name, text in response.raw_headers) > MAX_HEAD_BYTES:
            response.close()
            raise ClientPayloadError(f"the headers of the answer are longer than {MAX_HEAD_BYTES} bytes")
        return response

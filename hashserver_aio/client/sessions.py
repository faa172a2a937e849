"""Connections to servers, as many clients as use them."""

from __future__ import annotations

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession

READ_BYTES = 256 * 1024


class Sessions:
    """The connections to servers: of a session of our own, opened when it is needed, or of somebody's."""

    def __init__(self, session: ClientSession | None) -> None:
        self._session = session
        self._is_ours = session is None

    def opened(self) -> ClientSession:
        """Give the session."""
        if self._session is None:
            # Cookies of one server are nothing to another, and nothing here needs any.
            self._session = ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=READ_BYTES, middlewares=[_once]
            )
        return self._session

    async def close(self) -> None:
        """Let go of it, unless it is somebody else's."""
        if self._is_ours and self._session is not None:
            session, self._session = self._session, None
            await session.close()


async def _once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Send a request once: aiohttp by itself would send some, like DELETE, again after a cut."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error)) from error

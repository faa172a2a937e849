"""The aiohttp application: rooms are opened when it starts and closed when it ends.

`create_app` itself touches nothing, so that any runner can call it.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from ..buffers import Buffers
from ..catalogue import Catalogue
from ..catalogue.memory import MemoryCatalogue
from ..catalogue.sqlite import SqliteCatalogue
from ..settings import Settings
from ..store.directory import DirectoryStore
from . import hashserver, info
from .activity import Activity, counting
from .cors import add_headers, preflight
from .errors import errors
from .fast_path import FastPath
from .keys import ACTIVITY, BUFFERS, FAST_PATH, SETTINGS
from .receive import LINGER_S, hang_up_after_refusal

CLEAN_UP_S = 5.0
"""What handlers that were cancelled at the end get to clean up before their threads are taken."""

HANDLER_ARGS = {
    "auto_decompress": False,  # a compressed body is kept as it is
    "handler_cancellation": True,  # who is gone is not waited for, nor hashed for
    "keepalive_timeout": 75.0,
    "lingering_time": LINGER_S,
    "read_bufsize": 256 * 1024,  # what one read of a socket brings; with less, each stops the next
}


def create_app(settings: Settings) -> web.Application:
    """Make an application that serves one directory."""
    activity = Activity()
    middlewares = [counting(activity), hang_up_after_refusal, errors, preflight]
    app = web.Application(middlewares=middlewares, handler_args=HANDLER_ARGS)
    app[SETTINGS] = settings
    app[ACTIVITY] = activity
    app.add_routes(info.routes())
    app.add_routes(hashserver.routes())
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(_release_waiting)
    app.cleanup_ctx.append(_buffers)
    return app


async def _buffers(app: web.Application) -> AsyncIterator[None]:
    """Hold store and catalogue open while the application runs.

    Raises: CannotStart, FormatConflict, StoreFailed.
    """
    settings = app[SETTINGS]
    store = DirectoryStore(settings)
    try:
        await store.start()
        catalogue = _catalogue(settings, store)
        try:
            app[BUFFERS] = Buffers(
                store, catalogue, limit_bytes=settings.max_buffer_bytes, fsync=settings.fsync
            )
            app[FAST_PATH] = FastPath(app[BUFFERS], app[ACTIVITY])
            yield
            app[BUFFERS].close()
            await app[ACTIVITY].settle(CLEAN_UP_S)
        finally:
            await catalogue.close()
    finally:
        await store.close()


def _catalogue(settings: Settings, store: DirectoryStore) -> Catalogue:
    if not settings.writable:
        return MemoryCatalogue()
    path = f"{store.own_folder}/catalogue.sqlite"
    if store.is_network:  # SQLite's shared memory does not work across hosts
        name = hashlib.sha256(str(settings.directory.resolve()).encode()).hexdigest()[:16]
        path = str(Path.home() / ".local/state/hashserver-aio" / f"{name}.sqlite")
    return SqliteCatalogue(path, store.prepare, fsync=settings.fsync)


async def _release_waiting(app: web.Application) -> None:
    app[BUFFERS].close()

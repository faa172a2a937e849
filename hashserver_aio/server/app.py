"""The aiohttp application: rooms are opened when it starts and closed when it ends.

`create_app` itself touches nothing, so that any runner can call it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing

from aiohttp import web

from ..access import AccessFile
from ..buffers import Buffers
from ..catalogue import Catalogue
from ..catalogue.opening import opened, path_of
from ..counting import Counts
from ..farmers import Registry
from ..farmers import refuse as refuse_farmers
from ..fetching import configured_proxy, parse_allowed
from ..file_manifests import FileManifests
from ..fleet.rules import refuse as refuse_nodes
from ..holding import refuse as refuse_holding
from ..manifests import Manifests
from ..reading.apart import Readers
from ..scrubbing import Scrub
from ..settings import Settings
from ..store.admission import settle_format
from ..store.format import Format
from . import axon, farmers, hashserver, holding, info, metrics, nodes, rd, webroot
from .activity import Activity, counting
from .audiences import Audiences
from .axon.fetch import make_fetcher
from .background import in_background
from .columns import server_counts
from .cors import add_headers, preflight
from .errors import errors
from .fast_path import FastPath
from .keys import (
    ACCESS,
    ACTIVITY,
    BUFFERS,
    COUNTS,
    FAST_PATH,
    FETCHER,
    FILE_MANIFESTS,
    MANIFESTS,
    METER,
    READERS,
    READINESS,
    REGISTRY,
    SETTINGS,
    WEB_ROOT,
)
from .meter import Meter
from .readiness import Readiness
from .receive import LINGER_S, hang_up_after_refusal
from .traffic import traffic

DOORS = (*axon.DOORS, hashserver.DOOR)
"""What the fast path may answer."""

OF_NODES = frozenset({"/", "/healthcheck", "/metrics"})
"""What a node answers to everybody; of buffers it tells nobody but its server."""

CLEAN_UP_S = 5.0
"""What handlers that were cancelled at the end get to clean up before their threads are taken."""

HANDLER_ARGS = {
    "auto_decompress": False,  # a compressed body is kept as it is
    "handler_cancellation": True,  # who is gone is not waited for, nor hashed for
    "keepalive_timeout": 75.0,
    "lingering_time": LINGER_S,
    "read_bufsize": 256 * 1024,  # what one read of a socket brings; with less, each stops the next
}


def create_app(settings: Settings, counts: Counts | None = None) -> web.Application:
    """Make an application that serves one directory; `counts`, where several processes do."""
    counts = counts or server_counts()[0]
    activity = Activity(counts)
    middlewares = [counting(activity), traffic(counts), hang_up_after_refusal, errors, preflight]
    app = web.Application(middlewares=middlewares, handler_args=HANDLER_ARGS)
    app[SETTINGS] = settings
    app[ACTIVITY] = activity
    app[COUNTS] = counts
    app[READERS] = Readers()
    routes = _routes(settings)
    if settings.web_root is not None:  # before the others, for it leaves them what is theirs
        app.add_routes(webroot.routes(_tops(routes)))
    app.add_routes(routes)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(_release_waiting)
    if settings.holding is None:
        app.cleanup_ctx.append(_buffers)
    else:
        app.cleanup_ctx.extend([holding.known, _buffers, holding.pinging])
    return app


def _routes(settings: Settings) -> list[web.RouteDef]:
    """Name the routes of all faces but the web-root; a node has one of its own, and no other."""
    if settings.holding is not None:
        open_to_all = [*info.routes(at_the_top=True), *metrics.routes(), *hashserver.routes()]
        return [*holding.routes(), *(route for route in open_to_all if route.path in OF_NODES)]
    return [
        *info.routes(at_the_top=settings.web_root is None),
        *metrics.routes(),
        *hashserver.routes(),
        *axon.routes(),
        *rd.routes(),
        *(farmers.routes() if settings.farmers is not None else ()),
        *(nodes.routes() if settings.nodes is not None else ()),
    ]


def _tops(routes: Sequence[web.RouteDef]) -> set[str]:
    """Name what paths of ours begin with."""
    tops = {route.path.split("/")[1] for route in routes}
    return {top for top in tops if top and not top.startswith("{")}


def _check_web_root(settings: Settings) -> None:
    """Refuse a web-root that can't be served, and warn of what is not served of one.

    Raises: CannotStart.
    """
    with webroot.served(settings, _tops(_routes(settings))) as root:
        webroot.warn_of_shadowed(root)


def refuse(settings: Settings) -> Format:
    """Refuse what can be refused before anything is opened; gives the format that will be served.

    Raises: CannotStart, FormatConflict.
    """
    if settings.auth_file is not None:
        AccessFile(settings.auth_file).close()
    if settings.catalogue is not None:
        path_of(settings.catalogue)
    parse_allowed(settings.fetch_allow)
    configured_proxy(settings.http_proxy)
    refuse_farmers(settings)
    refuse_nodes(settings)
    refuse_holding(settings)
    _check_web_root(settings)
    return settle_format(settings)


async def _buffers(app: web.Application) -> AsyncIterator[None]:
    """Hold store and catalogue open while the application runs.

    Raises: CannotStart, FormatConflict, StoreFailed.
    """
    settings = app[SETTINGS]
    access = AccessFile(settings.auth_file) if settings.auth_file else None
    app[ACCESS] = access
    try:
        counts = app[COUNTS]
        async with opened(settings, counts) as (store, catalogue):
            app[BUFFERS] = Buffers(store, catalogue, settings, counts)
            doors = DOORS if settings.holding is None else ()
            app[FAST_PATH] = FastPath(doors, app[BUFFERS], Audiences(access), app[ACTIVITY], counts)
            app[MANIFESTS] = Manifests(app[BUFFERS], settings.block_size, counts)
            app[METER] = Meter(counts, catalogue, settings)
            app[READINESS] = Readiness(app[BUFFERS], catalogue)
            if settings.farmers is not None:
                app[REGISTRY] = Registry(catalogue.farmers, settings.farmers)
            with (
                webroot.served(settings, _tops(_routes(settings))) as app[WEB_ROOT],
                _file_manifests(app) as app[FILE_MANIFESTS],
                closing(make_fetcher(app[BUFFERS], settings)) as app[FETCHER],
            ):
                async with nodes.fleet(app, store), _scrubbing(app[BUFFERS], catalogue, settings):
                    yield
            app[BUFFERS].close()
            app[READINESS].close()
            await app[MANIFESTS].close()
            await app[ACTIVITY].settle(CLEAN_UP_S)
    finally:
        if access is not None:
            access.close()


@contextlib.contextmanager
def _file_manifests(app: web.Application) -> Iterator[FileManifests | None]:
    """Have the manifests of the web-root's files, if there is one."""
    root, settings = app[WEB_ROOT], app[SETTINGS]
    if root is None:
        yield None
        return
    digesting = app[MANIFESTS].digesting
    manifests = FileManifests(root, app[BUFFERS], digesting, settings.block_size, app[COUNTS])
    with closing(manifests):
        yield manifests


@contextlib.asynccontextmanager
async def _scrubbing(buffers: Buffers, catalogue: Catalogue, settings: Settings) -> AsyncIterator[None]:
    """Scrub as long as the application runs, if it was told to."""
    if settings.scrub_bytes_per_s is None:
        yield
        return
    scrub = Scrub(
        buffers.store,
        catalogue,
        buffers.verifier,
        directory=settings.directory,
        bytes_per_s=settings.scrub_bytes_per_s,
    )
    async with in_background(scrub.run()):
        yield


async def _release_waiting(app: web.Application) -> None:
    app[BUFFERS].close()
    await app[MANIFESTS].close()

"""What a real Axon and ours are asked, and in what ours is meant to differ.

Whatever is not marked here has to be the same: status, headers, body.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from .beside import KEY, Ask, basic

FILES = "/api/v1/axon/files"
DATA = b"0123456789"
NAME, EMPTY, ABSENT = hashlib.sha256(DATA).hexdigest(), hashlib.sha256(b"").hexdigest(), "ab" * 32
BY, HAS, PUT, DEL = f"{FILES}/by/sha256", f"{FILES}/has/sha256", f"{FILES}/put", f"{FILES}/del"

OTHER_HEADERS = {
    "date": "the time",
    "server": "theirs is empty, or names Tornado",
    "etag": "theirs is of a JSON body, or constant; ours names the buffer",
    "last-modified": "theirs has none",
    "repr-digest": "RFC 9530",
    "link": "ours tells where the digests of a buffer's blocks are",
    "vary": "a buffer is sent with the same headers as on the other face, where it may be compressed",
    "cache-control": "theirs has none: an error, and what needs credentials, is for no shared cache",
    "access-control-allow-origin": "ours lets every origin read, without cookies",
    "access-control-allow-credentials": "theirs has cookies",
    "access-control-allow-headers": "as the origin",
    "access-control-expose-headers": "as the origin",
    "allow": "RFC 9110 section 15.5.6: a 405 says what is allowed",
}
"""Headers that are not compared, and why ours differ."""


@dataclass(frozen=True)
class Marked:
    """A difference that is meant: the statuses, and what ours answers where that is short."""

    reason: str
    theirs: int
    ours: int
    body: bytes | None = None


JSON_ERROR = "errors of routing are JSON too, not HTML"
ASKED_FIRST = "credentials are asked for before anything of the name is told"
SAME_PATH = "RFC 3986 section 6.2.2.2: a digit that is percent-encoded is that digit"
OF_THE_PARSER = "what is no HTTP is refused by the parser, in its words"
OPTIONS = "OPTIONS is answered alike for every path; theirs fails where the path has a name"
SUFFIX = "RFC 9110 section 14.1.2: a suffix range is of the last bytes; theirs fails"
CLAMPED = "RFC 9110 section 14.1.2: a range that goes past the end is cut there; theirs refuses it"
IGNORED = "RFC 9110 section 14.2: a range that is not well-formed is ignored; theirs fails or guesses"
SEVERAL = "RFC 9110 section 14.6: several ranges are sent in parts; theirs sends the first"
UNSATISFIABLE = "RFC 9110 section 15.5.17: a 416 says the size; theirs calls nothing HTML"
OF_GET = "RFC 9110 section 14.2: Range is of GET only"
CONDITIONAL = "RFC 9110 section 13: conditions are looked at"
BEARER = "RFC 6750: a key may be sent as a bearer token"
CASELESS = "RFC 9110 section 11.1: the scheme is of any case"
HEALTH = "the health of a cell is not offered; ours is at /healthcheck"

BAD_NAMES = {
    "short": "foobar",
    "63 digits": "a" * 63,
    "65 digits": "a" * 65,
    "no digits": "z" * 64,
    "empty": "",
    "slash": NAME + "/",
    "text": "fo%22o%20b%C3%A9",
}
USERS = (None, "nobody")

Case = tuple[str, Ask, Marked | None]


def puts() -> Iterator[Case]:
    """Ask for what is stored."""
    yield "put", Ask("PUT", PUT, DATA), None
    yield "put, POST", Ask("POST", PUT, DATA), None
    yield "put, empty", Ask("PUT", PUT), None
    yield "put, no length", Ask("PUT", PUT, is_sized=False), None
    yield "put, query", Ask("PUT", PUT + "?x=1", DATA), None
    yield "put, large", Ask("PUT", PUT, DATA * 300_000), None
    chunked = {"Transfer-Encoding": "chunked"}
    chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    yield "put, chunked", Ask("PUT", PUT, chunks, headers=chunked, is_sized=False), None
    bad = Marked(OF_THE_PARSER, 400, 400)
    yield "put, bad chunk", Ask("PUT", PUT, b"zz\r\nabc\r\n", headers=chunked, is_sized=False), bad
    yield "put, gzip", Ask("PUT", PUT, b"not gzip", headers={"Content-Encoding": "gzip"}), None
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    yield "put, form", Ask("POST", PUT, b"a=b", headers=form), None
    for user in (*USERS, "reader"):
        yield f"put, {user}", Ask("PUT", PUT, DATA, user), None
    yield "put, wrong password", Ask("PUT", PUT, DATA, password="x"), None
    denied = {"Expect": "100-continue"}
    yield "put, expect denied", Ask("PUT", PUT, DATA, "nobody", headers=denied), None


def names() -> Iterator[Case]:
    """Ask for names: good, absent, bad, and as whoever may not."""
    yield "has", Ask("GET", f"{HAS}/{NAME}"), None
    yield "has, upper case", Ask("GET", f"{HAS}/{NAME.upper()}"), None
    yield "has, absent", Ask("GET", f"{HAS}/{ABSENT}"), None
    for what, bad in BAD_NAMES.items():
        yield f"has, {what}", Ask("GET", f"{HAS}/{bad}"), Marked(JSON_ERROR, 404, 404)
    yield "has, bad, None", Ask("GET", f"{HAS}/foobar", user=None), Marked(ASKED_FIRST, 404, 401)
    encoded = NAME.replace("8", "%38")
    yield "has, encoded", Ask("GET", f"{HAS}/{encoded}"), Marked(SAME_PATH, 404, 200)
    for user in (*USERS, "writer", "reader"):
        yield f"has, {user}", Ask("GET", f"{HAS}/{NAME}", user=user), None
    for method in ("GET", "HEAD", "DELETE"):
        for what, bad in BAD_NAMES.items():
            yield f"{method} {what}", Ask(method, f"{BY}/{bad}"), None
        yield f"{method} absent", Ask(method, f"{BY}/{ABSENT}"), None
        yield f"{method} absent, upper case", Ask(method, f"{BY}/{ABSENT.upper()}"), None
        yield (
            f"{method} encoded",
            Ask(method, f"{BY}/{ABSENT.replace('a', '%61')}"),
            Marked(SAME_PATH, 404, 404),
        )
        for user in (*USERS, "writer"):
            for what, name in {"held": NAME, "absent": ABSENT, "bad": "foobar"}.items():
                yield f"{method} {what}, {user}", Ask(method, f"{BY}/{name}", user=user), None
        yield f"{method} wrong password", Ask(method, f"{BY}/{NAME}", password="x"), None
    for method in ("GET", "HEAD"):
        yield f"{method} held", Ask(method, f"{BY}/{NAME}"), None
        yield f"{method} upper case", Ask(method, f"{BY}/{NAME.upper()}"), None
        yield f"{method} of nothing", Ask(method, f"{BY}/{EMPTY}"), None
        yield f"{method} reader", Ask(method, f"{BY}/{NAME}", user="reader"), None
        yield f"{method} gzip", Ask(method, f"{BY}/{NAME}", headers={"Accept-Encoding": "gzip"}), None


RANGES: dict[str, Marked | None] = {
    "bytes=2-4": None,
    "bytes=5-": None,
    "bytes=0-0": None,
    "bytes=0-9": None,
    "bytes=9-9": None,
    "BYTES=1-2": None,
    "bytes=,0-1": None,
    "bytes=0-1,40-50": None,
    "bytes=": None,
    "octets=0-1": None,
    "bytes=-3": Marked(SUFFIX, 500, 206, b"789"),
    "bytes=-0": Marked(SUFFIX, 500, 416, b""),
    "bytes=0-10": Marked(CLAMPED, 416, 206, DATA),
    "bytes=5-20": Marked(CLAMPED, 416, 206, b"56789"),
    "bytes=4-2": Marked(IGNORED, 416, 200, DATA),
    "bytes=abc": Marked(IGNORED, 500, 200, DATA),
    "bytes=1": Marked(IGNORED, 500, 200, DATA),
    "bytes=--1": Marked(IGNORED, 500, 200, DATA),
    "bytes= 0 - 1": Marked(IGNORED, 206, 200, DATA),
    "bytes=0-1,4-5": Marked(SEVERAL, 206, 206),
    "bytes=10-": Marked(UNSATISFIABLE, 416, 416, b""),
    "bytes=10-12": Marked(UNSATISFIABLE, 416, 416, b""),
}
OF_HEAD = {"bytes=2-4": 206, "bytes=5-": 206, "bytes=-3": 500, "bytes=10-": 416, "bytes=0-1,4-5": 206}


def parts() -> Iterator[Case]:
    """Ask for ranges, and with conditions."""
    for text, marked in RANGES.items():
        yield f"GET {text}", Ask("GET", f"{BY}/{NAME}", headers={"Range": text}), marked
    for text, theirs in OF_HEAD.items():
        yield (
            f"HEAD {text}",
            Ask("HEAD", f"{BY}/{NAME}", headers={"Range": text}),
            Marked(OF_GET, theirs, 200, b""),
        )
    nothing = Marked(UNSATISFIABLE, 416, 416, b"")
    yield "GET of nothing, range", Ask("GET", f"{BY}/{EMPTY}", headers={"Range": "bytes=0-"}), nothing
    yield "GET absent, range", Ask("GET", f"{BY}/{ABSENT}", headers={"Range": "bytes=0-"}), None
    fresh, changed = Marked(CONDITIONAL, 200, 304, b""), Marked(CONDITIONAL, 200, 412, b"")
    yield "If-None-Match", Ask("GET", f"{BY}/{NAME}", headers={"If-None-Match": "*"}), fresh
    yield "If-Match", Ask("GET", f"{BY}/{NAME}", headers={"If-Match": '"x"'}), changed
    stale = Ask("GET", f"{BY}/{NAME}", headers={"Range": "bytes=1-2", "If-Range": '"x"'})
    yield "If-Range", stale, Marked(CONDITIONAL, 206, 200, DATA)


def lists() -> Iterator[Case]:
    """Ask for the deletion of lists that delete nothing."""
    good: dict[str, object] = {
        "none": {"sha256s": []},
        "absent": {"sha256s": [ABSENT, ABSENT.upper(), ABSENT]},
    }
    bad: dict[str, object] = {
        "no list": {},
        "a list only": [ABSENT],
        "null": None,
        "false": False,
        "text": "x",
        "a number": 5,
        "more": {"sha256s": [], "x": 1},
        "a name only": {"sha256s": ABSENT},
        "null for a list": {"sha256s": None},
        "a bad name": {"sha256s": ["newp"]},
        "a second bad name": {"sha256s": [ABSENT, "newp"]},
        "a number for a name": {"sha256s": [5]},
        "null for a name": {"sha256s": [None]},
        "65 digits": {"sha256s": ["a" * 65]},
        "a newline": {"sha256s": ["a" * 64 + "\n"]},
        "other digits": {"sha256s": ["\uff11" * 64]},
        "a key with a quote": {"sha256s": [], "it's": 1},
    }
    bodies = {what: json.dumps(value).encode() for what, value in (good | bad).items()}
    bodies |= {"no JSON": b"{nope", "nothing": b"", "no UTF-8": b'{"sha256s": ["\xff"]}'}
    bodies |= {"twice": b'{"sha256s": ["z"], "sha256s": []}', "a mark": b'\xef\xbb\xbf{"sha256s": []}'}
    bodies |= {"no number": b'{"sha256s": NaN}', "UTF-16": '{"sha256s": []}'.encode("utf-16")}
    for what, body in bodies.items():
        yield f"del, {what}", Ask("POST", DEL, body), None
    yield "del, text", Ask("POST", DEL, b'{"sha256s": []}', headers={"Content-Type": "text/plain"}), None
    for user in (*USERS, "reader", "deleter"):
        yield f"del, {user}", Ask("POST", DEL, b'{"sha256s": []}', user), None
        yield f"del, no JSON, {user}", Ask("POST", DEL, b"{nope", user), None


def credentials() -> Iterator[Case]:
    """Ask with credentials of every kind."""
    path = f"{HAS}/{ABSENT}"
    keys = {"X-API-KEY": KEY}
    yield "key", Ask("GET", path, user=None, headers=keys), None
    yield "bad key", Ask("GET", path, user=None, headers={"X-API-KEY": "x"}), None
    yield "bad key, right password", Ask("GET", path, headers={"X-API-KEY": "x"}), None
    yield "key, wrong password", Ask("GET", path, password="x", headers=keys), None
    bearer = Ask("GET", path, user=None, headers={"Authorization": f"Bearer {KEY}"})
    yield "bearer", bearer, Marked(BEARER, 401, 200)
    lower = Ask("GET", path, user=None, headers={"Authorization": basic("all").replace("Basic", "basic")})
    yield "basic", lower, Marked(CASELESS, 401, 200)
    yield "unknown user", Ask("GET", path, user="whom"), None
    yield "empty password", Ask("GET", path, password=""), None
    for text in ("Basic !!!", "Basic ", "Basic YWxs", "Digest x"):
        yield text, Ask("GET", path, user=None, headers={"Authorization": text}), None
    for origin in ("https://127.0.0.1:9", "https://other.example"):
        yield origin, Ask("GET", path, headers={"Origin": origin}), None


def routes() -> Iterator[Case]:
    """Ask for what is not there, and by methods that are not."""
    yield "active", Ask("GET", "/api/v1/active", user=None), None
    absent = Marked(JSON_ERROR, 404, 404)
    for path in ("/nope", "/axon", "/axon/files", "/axon/files/put/", "/axon/files/put/x", "/active/"):
        yield path, Ask("GET", f"/api/v1{path}", user=None), absent
    yield "POST nope", Ask("POST", "/api/v1/nope", user=None), absent
    yield "HEAD nope", Ask("HEAD", "/api/v1/nope", user=None), absent
    yield "health", Ask("GET", "/api/v1/healthcheck", user=None), Marked(HEALTH, 401, 404)
    wrong = Marked(JSON_ERROR, 405, 405)
    methods = {
        PUT: ("GET", "HEAD", "DELETE", "PATCH"),
        DEL: ("GET", "HEAD", "PUT", "DELETE"),
        f"{HAS}/{NAME}": ("HEAD", "POST", "DELETE"),
        f"{BY}/{NAME}": ("POST", "PUT", "PATCH"),
        f"{BY}/foobar": ("POST", "PUT"),
        "/api/v1/active": ("HEAD", "POST"),
    }
    for path, refused in methods.items():
        for method in refused:
            yield f"{method} {path.removeprefix('/api/v1/')[:26]}", Ask(method, path), wrong
        theirs = 500 if "/sha256/" in path else 204
        yield (
            f"OPTIONS {path.removeprefix('/api/v1/')[:26]}",
            Ask("OPTIONS", path),
            Marked(OPTIONS, theirs, 200, b"OK"),
        )


def cases() -> list[Case]:
    """List all that changes nothing once DATA and nothing are stored."""
    return [*puts(), *names(), *parts(), *lists(), *credentials(), *routes()]


def deletions() -> list[Ask]:
    """List what stores and deletes, in this order."""
    other = hashlib.sha256(b"other").hexdigest()
    names = {"sha256s": [other, ABSENT, other.upper(), NAME.upper(), NAME]}
    return [
        Ask("PUT", PUT, b"other"),
        Ask("DELETE", f"{BY}/{NAME}", user="reader"),
        Ask("DELETE", f"{BY}/{NAME}", user="deleter"),
        Ask("DELETE", f"{BY}/{NAME}", user="deleter"),
        Ask("GET", f"{HAS}/{NAME}"),
        Ask("GET", f"{BY}/{NAME}"),
        Ask("PUT", PUT, DATA),
        Ask("DELETE", f"{BY}/{NAME.upper()}"),
        Ask("DELETE", f"{BY}/{NAME.upper()}"),
        Ask("PUT", PUT, DATA),
        Ask("POST", DEL, json.dumps(names).encode()),
        Ask("GET", f"{HAS}/{other}"),
        Ask("PUT", PUT, DATA),
        Ask("GET", f"{BY}/{NAME}"),
    ]

"""What is in a folder, as a page for people or as JSON; nothing of a name gets onto the page as it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote_from_bytes

from ...webroot import Entry, Listing, WebPath, reference

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; margin: 2em }}
td, th {{ padding: .1em 1em .1em 0; text-align: left }}
.n {{ text-align: right; font-variant-numeric: tabular-nums }}
</style>
</head>
<body>
<h1>{title}</h1>
<table>
<tr><th>name</th><th class="n">bytes</th><th>changed (UTC)</th></tr>
{rows}
</table>
{more}</body>
</html>
"""


def html_page(path: WebPath, listing: Listing) -> str:
    """Word a page for a browser."""
    rows = [_row(entry) for entry in listing.entries]
    if path.names:
        rows.insert(0, '<tr><td><a href="../">../</a></td><td class="n"></td><td></td></tr>')
    following = _next(listing)
    return _PAGE.format(
        title=escape(f"/{path.shown}/" if path.names else "/"),
        rows="\n".join(rows),
        more="" if following is None else f'<p><a href="{escape(following)}">more</a></p>\n',
    )


def json_page(path: WebPath, listing: Listing) -> str:
    """Word an object: `entries`, and `next`, the URL of the next page, or null."""
    return json.dumps({"entries": [_object(entry) for entry in listing.entries], "next": _next(listing)})


def _row(entry: Entry) -> str:
    slash = "/" if entry.is_folder else ""
    href = escape(reference(entry.name, is_folder=entry.is_folder))
    changed = datetime.fromtimestamp(entry.modified_s, UTC)
    size = "" if entry.is_folder else entry.size
    return (
        f'<tr><td><a href="{href}">{escape(_shown(entry))}{slash}</a></td>'
        f'<td class="n">{size}</td><td>{changed:%Y-%m-%d %H:%M:%S}</td></tr>'
    )


def _object(entry: Entry) -> dict[str, object]:
    """Word an entry. A name that isn't UTF-8 is only shown here; its `href` leads to it."""
    return {
        "name": _shown(entry),
        "type": "folder" if entry.is_folder else "file",
        "size": None if entry.is_folder else entry.size,
        "mtime": int(entry.modified_s),
        "href": reference(entry.name, is_folder=entry.is_folder),
    }


def _shown(entry: Entry) -> str:
    return entry.name.decode("utf-8", "replace")


def _next(listing: Listing) -> str | None:
    return None if listing.last is None else f"?after={quote_from_bytes(listing.last, safe='')}"

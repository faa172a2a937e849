"""Content codings: which compressed forms a client takes, and which it sends.

Source: RFC 9110 section 12.5.3.
"""

from __future__ import annotations

import re

from aiohttp import web

from ..errors import UnknownEncoding
from ..store import Form

_FORMS = {
    "zstd": Form.ZSTD,
    "x-zstd": Form.ZSTD,
    "gzip": Form.GZIP,
    "x-gzip": Form.GZIP,
    "identity": Form.PLAIN,
}
_ITEM = re.compile(r"\s*([!#$%&'*+.^_`|~\w-]+)\s*(?:;\s*[qQ]\s*=\s*([01](?:\.\d{0,3})?)\s*)?")


def accepted_forms(header: str) -> tuple[Form, ...]:
    """Tell the forms that an Accept-Encoding allows, the preferred first; plain is always among them.

    With equal weight the smaller one goes first: zstd, gzip, plain.
    """
    if not header:
        return (Form.PLAIN,)
    weights: dict[Form, float] = {}
    for item in header.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            continue
        named = [_FORMS[match[1].lower()]] if match[1].lower() in _FORMS else []
        if match[1] == "*":
            named = [form for form in (Form.ZSTD, Form.GZIP) if form not in weights]
        weights.update(dict.fromkeys(named, float(match[2] or 1)))
    wanted = [form for form in (Form.ZSTD, Form.GZIP) if weights.get(form, 0) > 0]
    wanted.sort(key=lambda form: -weights[form])
    plain_weight = weights.get(Form.PLAIN, 0)
    better = [form for form in wanted if weights[form] >= plain_weight]
    return (*better, Form.PLAIN)


def sent_form(request: web.Request) -> Form:
    """Tell the form of a request's body.

    Raises: UnknownEncoding.
    """
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    form = _FORMS.get(coding or "identity")
    if form is None:
        raise UnknownEncoding(f"content coding {coding[:50]!r} is not known; send zstd or gzip")
    return form

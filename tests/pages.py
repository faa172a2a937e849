"""Web pages as a browser sees them."""

from __future__ import annotations

import html.parser


class Page(html.parser.HTMLParser):
    """What a browser sees: tags, links with their texts, and rows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: dict[str, str] = {}
        self.rows: list[list[str]] = []
        self._href = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag."""
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag == "a":
            self._href = dict(attrs)["href"] or ""
            self.links[self._href] = ""
        elif tag == "tr":
            self.rows.append([])
        elif tag == "td":
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        """End a link."""
        if tag == "a":
            self._href = ""

    def handle_data(self, data: str) -> None:
        """Take a text."""
        if self._href:
            self.links[self._href] += data
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data

"""Files of a folder that anybody may place there, opened by the path of a URL: the web-root.

Nothing outside it is ever opened, and nothing of ours inside it, whatever the path says and whatever
its links lead to; `walking.py` sees to the one, `kept.py` to the other.
"""

from .listing import Entry, Listing
from .opening import WebFile, WebRoot
from .paths import WebPath, parse_path, reference

__all__ = ["Entry", "Listing", "WebFile", "WebPath", "WebRoot", "parse_path", "reference"]

"""Where a store's URL leads."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

_RIGHT = "the one scheme supported is file:///DIRECTORY, with an absolute path"


def directory_of(url: str) -> str:
    """The directory that a store's URL names.

    Raises:
        ValueError: it names none that we can use; what is wrong, a semicolon, and what would be right.
    """
    parts = urlsplit(url)
    if parts.scheme != "file":
        raise ValueError(f"{url!r} has the scheme {parts.scheme!r}; {_RIGHT}")
    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"{url!r} names the host {parts.netloc!r}; {_RIGHT}")
    if parts.query or parts.fragment:
        raise ValueError(f"{url!r} has a '?' or a '#'; write them as %3F and %23")
    root = unquote(parts.path)
    if not root.startswith("/") or "\0" in root:
        raise ValueError(f"{url!r} has no absolute path; {_RIGHT}")
    return root

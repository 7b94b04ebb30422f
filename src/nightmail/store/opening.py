"""From a store's URL to the store."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from nightmail.errors import ConfigInvalid
from nightmail.store.protocol import Store
from nightmail.store.scribed import ScribedStore
from nightmail.world import Randomness

_PLACE = "[store] url"
_RIGHT = "the one scheme supported is file:///DIRECTORY, with an absolute path"


def open_store(url: str, randomness: Randomness) -> Store:
    """The store that `url` names. Touches nothing yet: a store out of reach is found so at its first use (J11).

    Raises:
        ConfigInvalid: the URL names no store that we can use.
    """
    parts = urlsplit(url)
    if parts.scheme != "file":
        raise ConfigInvalid(_PLACE, f"{url!r} has the scheme {parts.scheme!r}", _RIGHT)
    if parts.netloc not in ("", "localhost"):
        raise ConfigInvalid(_PLACE, f"{url!r} names the host {parts.netloc!r}", _RIGHT)
    if parts.query or parts.fragment:
        raise ConfigInvalid(_PLACE, f"{url!r} has a '?' or a '#'", "write them as %3F and %23")
    root = unquote(parts.path)
    if not root.startswith("/") or "\0" in root:
        raise ConfigInvalid(_PLACE, f"{url!r} has no absolute path", _RIGHT)
    return ScribedStore(root, randomness)

"""From a store's URL to the store."""

from __future__ import annotations

from nightmail.errors import ConfigInvalid
from nightmail.store.location import directory_of
from nightmail.store.protocol import Store
from nightmail.store.scribed import ScribedStore
from nightmail.world import Randomness


def open_store(url: str, randomness: Randomness) -> Store:
    """The store that `url` names. Touches nothing yet: a store out of reach is found so at its first use (J11).

    Raises:
        ConfigInvalid: the URL names no store that we can use.
    """
    try:
        return ScribedStore(directory_of(url), randomness)
    except ValueError as error:
        wrong, _, right = str(error).partition("; ")
        raise ConfigInvalid("[store] url", wrong, right) from error

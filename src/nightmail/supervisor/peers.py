"""The replicas of other servers, as the directory's master looks at them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from nightmail.directory.accounts import suffix_of
from nightmail.directory.comparing import Seen, has_everything, see
from nightmail.directory.sessions import Access
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable


class ReplicaPeers:
    """At `uris`; `own` is this server. One look at each at a time.

    The looks are taken in threads of their own, and so are comparisons, which take long: neither stands behind the
    other, nor has anybody else stand behind a replica that hangs.
    """

    def __init__(self, own: str, uris: Mapping[str, str], access: Access) -> None:
        self._own = own
        self._uris = uris
        self._access = access
        self._suffix = suffix_of(access.name)
        self._open: dict[str, Directory] = {}
        self._looking = ThreadPoolExecutor(max(1, len(uris)), "directory-looks")
        self._comparing = ThreadPoolExecutor(max(1, len(uris)), "directory-compares")

    async def see(self, server: str) -> Seen:
        """What a replica is at present. Raises: DirectoryUnavailable: it does not say."""
        do = partial(asyncio.get_running_loop().run_in_executor, self._looking)
        try:
            if server not in self._open:
                self._open[server] = await do(Directory, self._uris[server], self._access)
            return await do(see, self._open[server], self._suffix)
        except ConfigInvalid as error:
            self._drop(server)
            raise DirectoryUnavailable(str(error)) from error
        except DirectoryUnavailable:
            self._drop(server)
            raise

    async def has_everything(self, server: str) -> bool:
        """Whether it has all that ours has. Raises: DirectoryUnavailable: one of them does not say."""
        own = self._uris[self._own]
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._comparing, has_everything, own, self._uris[server], self._access
            )
        except ConfigInvalid as error:
            raise DirectoryUnavailable(str(error)) from error

    def close(self) -> None:
        """End all sessions. What is under way ends by itself, soon."""
        for threads in (self._looking, self._comparing):
            threads.shutdown(wait=False, cancel_futures=True)
        for server in [*self._open]:
            self._drop(server)

    def _drop(self, server: str) -> None:
        if (session := self._open.pop(server, None)) is not None:
            session.close()

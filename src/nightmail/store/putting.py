"""The steps of `put_new` on a file system, in whatever thread or process they are taken."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import count

from nightmail.errors import StoreUnavailable
from nightmail.store.directories import Directories
from nightmail.store.disk import Disk
from nightmail.store.draft import Draft, not_created
from nightmail.store.protocol import Buffer, Put


class Putter:
    """Makes files that appear whole and durable, or not at all. Its methods block; any thread may call them.

    No two putters of one store may share a `token`: their temporaries are named after it.
    """

    def __init__(self, directories: Directories, disk: Disk, token: str) -> None:
        self._directories = directories
        self._disk = disk
        self._token = token
        self._drafts = count()

    def draft(self, directory: str) -> Draft:
        """A new temporary file. Raises: PutFailed."""
        try:
            return Draft(self._disk, self._directories.open(directory), f"{self._token}-{next(self._drafts)}")
        except (OSError, StoreUnavailable) as error:
            self._directories.forget(directory)
            raise not_created(directory, error) from error

    def put(self, directory: str, name: str, data: Sequence[Buffer]) -> Generator[Put, None, None]:
        """Yield the outcome as soon as it is known; what comes after that is tidying up, and must be let run.

        Raises: PutFailed, PutUnknown, PutBroken.
        """
        draft = self.draft(directory)
        try:
            try:
                draft.write(data)
            except OSError as error:
                raise not_created(f"{directory}/{name}: write", error) from error
            yield draft.publish(name)
        except StoreUnavailable:
            self._directories.forget(directory)
            raise
        finally:
            draft.discard()

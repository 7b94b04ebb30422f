"""Opens sessions in threads of their own: one at a replica that hangs keeps nobody waiting who asks for another thing.

The threads that an event loop has by itself are few, and for everybody.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from nightmail.directory.sessions import Access, open_session

_AT_A_TIME = 64
_threads = ThreadPoolExecutor(_AT_A_TIME, "directory-open")  # each is begun when it is first needed


async def opened(uri: str, access: Access) -> Any:
    """See `sessions.open_session`."""
    return await asyncio.get_running_loop().run_in_executor(_threads, open_session, uri, access)

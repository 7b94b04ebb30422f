from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.store.disk import Disk
from nightmail.store.protocol import Buffer


@given(buffers=st.lists(st.binary(max_size=20), max_size=30), takes=st.integers(min_value=1, max_value=25))
def test_however_little_a_write_takes_all_is_written_once(buffers: list[bytes], takes: int) -> None:
    written = bytearray()

    def take_a_little(descriptor: int, offered: Sequence[Buffer]) -> int:
        taken = b"".join(offered)[:takes]
        written.extend(taken)
        return len(taken)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "writev", take_a_little)
        Disk().write(0, [memoryview(buffer) for buffer in buffers])
    assert written == b"".join(buffers)


def test_more_buffers_than_one_call_takes_are_all_written(tmp_path: Path) -> None:
    buffers = [b"%d," % n for n in range(3 * os.sysconf("SC_IOV_MAX") + 1)]
    with (tmp_path / "file").open("wb", buffering=0) as file:
        Disk().write(file.fileno(), buffers)
    assert (tmp_path / "file").read_bytes() == b"".join(buffers)

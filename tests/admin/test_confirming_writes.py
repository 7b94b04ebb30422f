"""What was written is looked for on all replicas at the same time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.directory.sites import MAIN, Sites

from nightmail.admin import mastering
from nightmail.admin.mastering import Confirmation, confirm, master_for
from nightmail.directory.sessions import Access
from nightmail.world import Clock


def test_it_is_looked_for_on_all_replicas_of_all_sites_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Sites(tmp_path, begun=False).mx2.config
    all_look = threading.Barrier(3, timeout=10)
    mx3 = f"ldap://{config.replicas['mx3']}"

    async def why_not_there(uri: str, access: Access, written: Mapping[str, str], clock: Clock) -> str:
        all_look.wait()
        return "it is behind" if uri == mx3 else ""

    monkeypatch.setattr(mastering, "why_not_there", why_not_there)
    master = master_for(config, MAIN)
    found = confirm(config, master, Access(name="cn=reader"), {"uid=a": "1"}, is_whole=False)
    assert found == Confirmation(["mx2", "mx4"], {"mx3": "it is behind"})

"""How replicas stand: all are asked at the same time, and of each database it is told how full it is."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.directory.sites import DR, MAIN, Sites, person
from tests.directory.slapd_server import SUFFIX

from nightmail.directory.parts import Part
from nightmail.directory.sessions import Access
from nightmail.directory.standing import Standing, look_at
from nightmail.errors import DirectoryUnavailable
from nightmail.world import SystemClock


def test_replicas_that_hang_are_waited_for_at_the_same_time() -> None:
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(4)]
        uris = {f"mx{number}": f"ldap://127.0.0.1:{each.getsockname()[1]}" for number, each in enumerate(listeners)}
        access = Access(name="cn=reader", password="x", timeout_s=30)
        found: list[Standing] = []

        def look() -> None:
            found.extend(look_at(uris, {Part(SUFFIX): "mx0"}, access, SystemClock()))

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        waiting = set(listeners)
        while waiting:  # each is asked, though none of the others has answered
            ready, _, _ = select.select([*waiting], [], [], 10)
            assert ready, "the rest is asked only once the first has answered"
            waiting -= {*ready}
        for each in listeners:
            each.accept()[0].close()
        thread.join()
    assert [(each.server, each.entries) for each in found] == [(name, None) for name in uris]
    assert all(each.state != "ok" for each in found)


def test_of_several_databases_the_one_that_is_nearly_full_is_named(tmp_path: Path) -> None:
    sites = Sites(tmp_path)
    file = Path(sites.mx1.config_file)
    file.write_text(file.read_text().replace("data_directory", "size_limit_mib = 16\ndata_directory"))
    people = [person("main", number) for number in range(300)]
    large = [each._replace(attributes={**each.attributes, "description": ("x" * 100_000,)}) for each in people]
    with sites.mx1 as replica, replica.as_account("writer") as directory:
        with pytest.raises(DirectoryUnavailable):
            directory.add(large)
        [seen] = look_at({"mx1": replica.uri}, {MAIN: "mx1", DR: "mx3"}, replica.access("reader"), SystemClock())
    [warning] = seen.warnings
    assert warning.startswith(f"its database {MAIN.base} is ")
    assert seen.used_bytes < 0.5 * seen.room_bytes

"""link() has one winner also between processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from nightmail.store.posix import PosixStore
from nightmail.world import SystemRandomness

PROCESSES = 8
RACES = 50

RACER = """
import asyncio, sys
from nightmail.store.posix import PosixStore
from nightmail.store.protocol import Put
from nightmail.world import SystemRandomness

async def race(root, name, races):
    store = PosixStore(root, SystemRandomness())
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(races):
        if await store.put_new(f"log/{n:020}", [name.encode() * 1000]) is Put.CREATED:
            print(n, flush=True)
    await store.close()

asyncio.run(race(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def test_of_eight_processes_exactly_one_wins_each_race(tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, root, str(n), str(RACES)], stdin=-1, stdout=-1, text=True, bufsize=1
        )
        for n in range(PROCESSES)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
    won = [[int(line) for line in racer.communicate()[0].split()] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * PROCESSES
    assert sorted(race for races in won for race in races) == list(range(RACES))
    for winner, races in enumerate(won):
        for race in races:
            assert asyncio.run(content(root, f"log/{race:020}")) == str(winner).encode() * 1000


async def content(root: str, key: str) -> bytes:
    store = PosixStore(root, SystemRandomness())
    try:
        return await store.get_range(key, 0, 1 << 20)
    finally:
        await store.close()

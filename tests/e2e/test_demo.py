"""The demonstration, as anybody would run it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.e2e.switch import NIGHTMAIL


def test_a_server_is_killed_and_nothing_is_lost(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [NIGHTMAIL, "demo", "--seconds", "6", "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout)
    ledger = verdict["ledger"]
    assert ledger["acknowledged"] > 100
    assert ledger["delivered"] == ledger["acknowledged"]
    assert ledger["lost"] == 0
    assert ledger["duplicated"] == ledger["ambiguous"]
    assert verdict["takeover_s"] >= verdict["lease_s"]
    assert not list(tmp_path.iterdir()), "nothing is left behind"

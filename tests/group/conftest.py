"""What the tests of the decisions share."""

from __future__ import annotations

import pytest
from tests.group.scene import QUEUE, Scene


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.hear("mx2", runs=(QUEUE,))
    scene.pass_time(20)
    assert not scene.adopted
    return scene

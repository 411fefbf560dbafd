"""What every test may ask for."""

from __future__ import annotations

import pytest

from limpet.host import Host
from tests.fakes.clock import FakeClock
from tests.fakes.host import make_host


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves when somebody sleeps."""
    return FakeClock()


@pytest.fixture
def host(clock: FakeClock) -> Host:
    """A host of fakes that shares the clock."""
    return make_host(clock=clock)

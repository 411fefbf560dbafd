"""After a stop nothing goes on: no event, no task, no request, no function that JavaScript still holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Tabs
from .stops import CENSUS, LOCAL, REMOTE, Stops, server, stop_often

COUNT = 8
LONGEST_MS = 250.0


@pytest.fixture
def census(tmp_path: Path) -> dict[str, Path]:
    """The file of the agent that counts, where the site has it."""
    file = tmp_path / "census.py"
    file.write_text(CENSUS)
    return {"/census.py": file}


def _assert_silent(stops: Stops) -> None:
    assert stops.late_events == 0
    assert stops.errors == []
    assert stops.after == stops.before


def test_nothing_is_left_of_remote_runs(tabs: Tabs, census: dict[str, Path]) -> None:
    with server() as provider:
        tab = tabs.new(REMOTE, overrides=census)
        tab.open("ask.html")

        stops = stop_often(tab.page, {"model": "", "base_url": provider.base_url, "api_key": "k"}, COUNT, LONGEST_MS)

        _assert_silent(stops)
        assert len(stops.milliseconds) == COUNT
        provider.wait_for_close(len(provider.requests))


def test_nothing_is_left_of_local_runs(tabs: Tabs, census: dict[str, Path]) -> None:
    tab = tabs.new(LOCAL.format(model="tiny-chat", tokens=400), overrides=census)
    tab.open("ask.html")

    stops = stop_often(tab.page, None, COUNT, LONGEST_MS)

    _assert_silent(stops)
    assert len(stops.milliseconds) + stops.meanwhile_over == COUNT

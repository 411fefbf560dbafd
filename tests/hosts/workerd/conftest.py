"""One project for all of these tests, and a workerd of one's own for each that asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fake_server import FakeServer
from tooling import recipe, steps

from .serving import LIFETIME_SECONDS, ROOT, Edge, Project, make, serving, why_not

Serve = Callable[..., tuple[Edge, FakeServer]]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project of the tests' agent, made and packed."""
    steps.ensure(ROOT, recipe.STEPS, ["edge-npm"])
    if reason := why_not():
        pytest.skip(reason)
    return make(tmp_path_factory.mktemp("edge"))


@pytest.fixture(scope="module")
def serve(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Start a workerd and a fake provider that answers by recipes; both end with the module."""
    with ExitStack() as stack:

        def start(*recipes: str, state: Path | None = None, **settings: dict[str, str]) -> tuple[Edge, FakeServer]:
            provider = stack.enter_context(FakeServer(*recipes, lifetime_seconds=LIFETIME_SECONDS, pause_seconds=0.05))
            folder = state or tmp_path_factory.mktemp("state")
            return stack.enter_context(serving(project, folder, provider, **settings)), provider

        yield start

"""The stores of the edge on real workerd, put through the suite of all stores."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_server import FakeServer
from tests.suites.store_suite import STORE_SCENARIOS
from tooling import edge_host

from .serving import ROOT, Edge, Project, serving

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def stores(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("stores")
    shutil.copytree(project.folder, folder / "project")
    shutil.copyfile(Path(__file__).with_name("store_entry.py"), folder / "project" / "src" / "entry.py")
    shutil.copyfile(ROOT / "tests" / "suites" / "store_suite.py", folder / "project" / "src" / "store_suite.py")
    edge_host.pack(ROOT, folder / "project", folder / "packed")
    with FakeServer() as provider, serving(Project(folder / "project", folder / "packed"), folder, provider) as edge:
        yield edge


@pytest.mark.parametrize("kind", ["durable_object", "kv"])
@pytest.mark.parametrize("name", [scenario.__name__ for scenario in STORE_SCENARIOS])
def test_store_suite(stores: Edge, kind: str, name: str) -> None:
    answer = stores.ask("GET", f"/{kind}/{name}")

    assert (answer.status, answer.body.decode()) == (200, "passed")


def test_a_durable_object_keeps_large_values_through_a_crash(stores: Edge) -> None:
    stores.ask("GET", "/put/large")
    stores.crash()

    assert stores.ask("GET", "/get/large").body == b"True"


def test_a_store_of_a_newer_version_is_left_alone(stores: Edge) -> None:
    answer = stores.ask("GET", "/newer/x").body.decode()

    assert answer == "StorageError: the store has schema 2, which a newer Limpet wrote; this one reads 1"

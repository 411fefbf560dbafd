"""A pytest plugin for Pyodide: runs async tests on the browser's event loop, and reports each test as a JSON line.

pytest-asyncio cannot do it there: it makes a loop for each test, and Pyodide has one, which JavaScript drives. So a
test's coroutine is awaited with `run_sync`, which suspends the whole stack until it is done.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import sys
from collections.abc import Callable, Coroutine, Generator

import pytest
from pyodide.ffi import run_sync  # type: ignore[import-not-found]  # only Pyodide has it

TEST_LIMIT_SECONDS = 60.0


def pytest_addoption(parser: pytest.Parser) -> None:
    # Settings of plugins which are not here, so that pyproject.toml can be read as it is.
    for name in ("asyncio_mode", "asyncio_default_fixture_loop_scope", "asyncio_default_test_loop_scope", "timeout"):
        parser.addini(name, "read by a plugin that CPython has", default="")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "asyncio: run by this plugin like any other coroutine")
    config.addinivalue_line("markers", "timeout(seconds): the limit of one test")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Await a test that is a coroutine function; leave any other to pytest."""
    handle = getattr(pyfuncitem.obj, "hypothesis", None)
    if handle is not None and inspect.iscoroutinefunction(handle.inner_test):
        handle.inner_test = _made_sync(handle.inner_test)  # each example is awaited by itself
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    _await(pyfuncitem.obj(**arguments))
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest) -> None:
    """Refuse what this plugin cannot do, instead of handing a coroutine to a test."""
    if inspect.iscoroutinefunction(fixturedef.func) or inspect.isasyncgenfunction(fixturedef.func):
        pytest.fail(f"the fixture {fixturedef.argname} is async: make it a context manager, Pyodide runs it too")


def _made_sync(function: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    @functools.wraps(function)
    def call(*arguments: object, **named: object) -> None:
        _await(function(*arguments, **named))

    return call


def _await(coroutine: Coroutine[object, object, None]) -> None:
    run_sync(asyncio.wait_for(coroutine, TEST_LIMIT_SECONDS))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Tell which tests there are, in their order."""
    _tell({"collected": [item.nodeid for item in session.items]})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" or not report.passed:
        _tell({"id": report.nodeid, "outcome": report.outcome, "text": _why(report)})
    return report


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if not report.passed:
        _tell({"id": report.nodeid, "outcome": report.outcome, "text": _why(report)})


def _why(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):  # a skip: file, line, reason
        return report.longrepr[2]
    return report.longreprtext


def _tell(report: object) -> None:
    assert sys.__stdout__ is not None
    sys.__stdout__.write(f"\n@{json.dumps(report)}\n")
    sys.__stdout__.flush()

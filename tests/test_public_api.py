from __future__ import annotations

import inspect
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

import limpet

PUBLIC = {name: getattr(limpet, name) for name in limpet.__all__}
DEFINED = {name: value for name, value in PUBLIC.items() if isinstance(value, type) or inspect.isroutine(value)}


def test_public_names_are_sorted_and_named_once() -> None:
    assert list(limpet.__all__) == sorted(set(limpet.__all__))


def test_the_package_has_its_public_names_and_nothing_else() -> None:
    names = {
        name
        for name, value in vars(limpet).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    }

    assert names == set(limpet.__all__)


def test_public_names_are_our_own_and_have_the_names_of_their_home() -> None:
    for name, value in DEFINED.items():
        assert value.__module__.split(".")[0] == "limpet", name
        assert value.__name__ == name
        assert getattr(sys.modules[value.__module__], name) is value


@pytest.mark.parametrize("name", sorted(DEFINED))
def test_every_public_name_is_documented(name: str) -> None:
    value: Any = DEFINED[name]
    own = vars(value).get("__doc__") if isinstance(value, type) else value.__doc__
    silent = [] if own else [name]
    # A dataclass without a docstring is given its signature for one.
    if isinstance(value, type) and value.__doc__ and value.__doc__.startswith(f"{name}("):
        silent.append(name)
    for attribute, member in vars(value).items() if isinstance(value, type) else ():
        function = getattr(member, "__func__", member.fget if isinstance(member, property) else member)
        if not attribute.startswith("_") and inspect.isfunction(function) and not function.__doc__:
            silent.append(f"{name}.{attribute}")

    assert silent == []


def test_all_errors_that_a_user_may_catch_are_public() -> None:
    from limpet import errors

    defined = {name for name, value in vars(errors).items() if isinstance(value, type)}

    assert {name for name in defined if issubclass(getattr(errors, name), Exception)} <= set(limpet.__all__)


@pytest.mark.skipif(sys.platform == "emscripten", reason="Pyodide cannot start a second process")
def test_importing_the_package_loads_nothing_that_is_slow_in_pyodide() -> None:
    # Measured there at first import: http.client 700 ms, urllib.request 120 ms, uuid 50 ms.
    slow = (
        "http.client",
        "urllib.request",
        "uuid",
        "decimal",
        "sqlite3",
        "email",
        "xml",
        "argparse",
        "numpy",
        "pydantic",
    )
    code = f"import sys; sys.path[:0] = {sys.path!r}; import limpet; print([n for n in {slow!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.strip() == "[]"

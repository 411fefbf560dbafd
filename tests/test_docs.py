"""What the documents show must work: examples run, code compiles, commands are understood, links lead somewhere."""

from __future__ import annotations

import ast
import doctest
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

import limpet
from limpet.providers import PROVIDERS
from tests.test_architecture import IMPORTS, MODULES, PACKAGE

ROOT = PACKAGE.parent.parent
# Modules that only Pyodide can import, with all that import them.
ONLY_IN_PYODIDE = {"js", "pyodide", "pyodide_js", "workers"}
FOLDERS = ("", "docs", "models", "tests", "web", "examples")
DOCUMENTS = sorted(
    {
        path
        for folder in FOLDERS
        for path in (ROOT / folder).glob("*.md" if folder == "" else "**/*.md")
        if "node_modules" not in path.parts
    }
)
README = ROOT / "README.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="only the package is here, not its documents")


def needs_pyodide(module: str) -> bool:
    targets = {found.target for found in IMPORTS if found.importer == module and found.target != module}
    return bool(targets & ONLY_IN_PYODIDE) or any(needs_pyodide(target) for target in targets & MODULES.keys())


def blocks(path: Path, language: str) -> list[tuple[int, str]]:
    """Give the fenced blocks of a language, with the number of their first line."""
    text = path.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, found.start()) + 2, found[1])
        for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ]


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_work(module: str) -> None:
    if needs_pyodide(module):
        assert ">>>" not in MODULES[module].read_text(encoding="utf-8"), "nothing runs this example"
        return
    name = ".".join(["limpet", *module.split("/")]).removesuffix(".__init__")
    if module == "__main__":
        return  # it starts the command line

    results = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)

    assert results.failed == 0


def test_the_example_of_the_package_is_python() -> None:
    assert limpet.__doc__ is not None
    for code in re.findall(r"```python\n(.*?)```", limpet.__doc__, re.DOTALL):
        exec(compile(code, "limpet.__doc__", "exec"), {})


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_in_documents_compiles(path: Path) -> None:
    for line, code in blocks(path, "python"):
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        compile("\n" * (line - 1) + code, str(path), "exec", flags=flags, dont_inherit=True)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_in_documents_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
    dead = [link for link in links if "://" not in link and not (path.parent / link).exists()]

    assert dead == []


def test_the_example_of_the_readme_is_an_agent() -> None:
    namespace: dict[str, object] = {}
    exec(compile(blocks(README, "python")[0][1], str(README), "exec"), namespace)

    agent = namespace["agent"]
    assert isinstance(agent, limpet.Agent)
    assert [tool.spec.name for tool in agent.tools] == ["set_timer"]


def test_commands_in_documents_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tooling import arguments  # what build.py reads its command line with

    (tmp_path / "agent.py").write_text(blocks(README, "python")[0][1], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    commands = [
        (path.name, words[2:])
        for path in DOCUMENTS
        for _, block in blocks(path, "sh")
        for line in block.splitlines()
        if (words := shlex.split(line, comments=True))[:2] == ["python3", "build.py"]
    ]

    assert {words[0] for name, words in commands if name == "README.md"} >= {"run", "test", "ask"}
    for name, words in commands:
        try:
            arguments.parse(words)
        except SystemExit:
            pytest.fail(f"{name}: build.py does not understand {shlex.join(words)!r}")


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    readme = "".join(code for _, code in blocks(README, "sh"))

    assert "exec python3 build.py test\n" in script
    assert "python3 build.py test " in readme


@pytest.mark.parametrize("provider", [name for name in PROVIDERS if name not in ("local", "openai_compatible")])
def test_a_provider_names_the_source_of_its_facts(provider: str) -> None:
    assert "Source:" in (import_module(f"limpet.providers.{provider}").__doc__ or "")

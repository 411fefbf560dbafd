"""What the documents show must work: examples run and print what is said, code is checked, links lead somewhere.

A block that can't be run says why in a comment on the line before it: Python by `<!-- not run: ... -->`, TypeScript
that lacks names by `<!-- fragment: ... -->`. `<!-- output -->` stands before what the Python above it prints.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import limpet
from limpet import Agent
from limpet.entrypoints import cli
from limpet.hosts.cpython import create_host
from limpet.providers import PROVIDERS
from tests.fake_provider.server import FakeProvider
from tests.test_architecture import IMPORTS, MODULES, PACKAGE
from tooling import arguments, docs_blocks, docs_hooks, docs_tables, main, node, site_command
from tooling.docs_blocks import Block, blocks, blocks_of

ROOT = PACKAGE.parent.parent
# Modules that only Pyodide can import, with all that import them.
ONLY_IN_PYODIDE = {"js", "pyodide", "pyodide_js", "workers"}
FOLDERS = ("", "docs", "models", "runtime", "tests", "web", "examples")
DOCUMENTS = sorted(
    {
        path
        for folder in FOLDERS
        for path in (ROOT / folder).glob("*.md" if folder == "" else "**/*.md")
        if not {"node_modules", "LICENSE.md"} & set(path.parts)
    }
)
README = ROOT / "README.md"
DOCS = ROOT / "docs"
LANGUAGES = {"python", "pycon", "sh", "json", "ts", "html", "css", "text"}
MARKS = {"": False, "output": False, "not run": True, "fragment": True}
"""The marks that a block may have, and whether they say why."""
ELEMENT = ROOT / "web" / "src" / "chat-element.ts"
TSC_LIMIT_SECONDS = 120
PROGRAMS = {"cd", "curl", "npm", "npx"}
"""What the shell's blocks may start beside our own commands."""

pytestmark = pytest.mark.skipif(not README.exists(), reason="only the package is here, not its documents")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def documents_with(language: str) -> list[Path]:
    return [path for path in DOCUMENTS if any(block.language == language for block in blocks_of(path))]


def blocks_in(path: Path, language: str) -> list[Block]:
    return [block for block in blocks_of(path) if block.language == language]


def needs_pyodide(module: str) -> bool:
    targets = {found.target for found in IMPORTS if found.importer == module and found.target != module}
    return bool(targets & ONLY_IN_PYODIDE) or any(needs_pyodide(target) for target in targets & MODULES.keys())


# --- docstrings -----------------------------------------------------------------------------------------------------


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


# --- blocks ---------------------------------------------------------------------------------------------------------


def test_blocks_and_their_marks_are_found() -> None:
    text = '<!-- not run: why -->\n```python live prompt="a b"\nx\n```\n\n<!-- output -->\n```text\n1\n```\n'

    assert list(blocks(text)) == [
        Block("python", "x\n", 3, 'live prompt="a b"', "not run", "why"),
        Block("text", "1\n", 8, "", "output", ""),
    ]
    assert [(block.is_live, block.prompt) for block in blocks(text)] == [(True, "a b"), (False, "")]
    assert doctest.testmod(docs_blocks).failed == 0


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_block_is_of_a_kind_that_is_tested(path: Path) -> None:
    text = path.read_text("utf-8")
    found = list(blocks(text))

    assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(found), "a fence isn't closed, or is indented"
    for block in found:
        where = f"{name_of(path)}:{block.line}"
        assert block.language in LANGUAGES, f"{where} is in {block.language!r}, which nothing tests"
        assert bool(block.reason) == MARKS[block.mark], f"{where}: {block.mark!r} says no reason"
        assert not block.is_live or block.prompt, f"{where} is live and asks nothing"


# --- Python ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    """All services that the documents name, at home: they repeat what they are asked, or call the first tool."""
    with FakeProvider() as server:
        for name in os.environ:
            if name.endswith(("_API_KEY", "_BASE_URL")):
                monkeypatch.delenv(name)
        for provider in ("openai", "openai_compatible", "ollama", "anthropic"):
            monkeypatch.setenv(f"{provider.upper()}_API_KEY", "a-key")
            monkeypatch.setenv(f"{provider.upper()}_BASE_URL", server.base_url(provider))
        yield server


@pytest.mark.parametrize("path", documents_with("python"), ids=name_of)
def test_python_in_documents_runs(
    path: Path, services: FakeProvider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = blocks_of(path)
    if any("OnnxBackend" in block.code for block in found):
        if find_spec("onnxruntime") is None or not (ROOT / "build/models/needle/model.json").is_file():
            pytest.skip("onnxruntime or the model needle is missing: python3 build.py models needle")
        monkeypatch.chdir(ROOT)  # it reads build/models
    module = ModuleType("a_document")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    async def run() -> None:
        said = ""
        for block in found:
            where = f"{name_of(path)}:{block.line}"
            if block.mark == "output":
                assert said == block.code, f"{where} isn't what the code above it prints"
            if block.language != "python" or block.mark == "not run":
                continue
            code = compile(
                "\n" * (block.line - 1) + block.code,
                str(path),
                "exec",
                flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
                dont_inherit=True,
            )
            result = eval(code, module.__dict__)
            if inspect.isawaitable(result):
                await result
            said = capsys.readouterr().out
            if block.is_live:
                # Not run: a local model comes to the host further down, and the browser runs this one too.
                agent = module.__dict__["agent"]
                assert isinstance(agent, Agent), where
                if not any(getattr(model, "provider", "") == "local" for model in agent.models):
                    answer = await agent.run(block.prompt, host=create_host(), approve=lambda _: True)
                    assert answer.text, where

    asyncio.run(run())


def test_the_example_of_the_readme_is_an_agent() -> None:
    namespace: dict[str, object] = {}
    exec(compile(blocks_in(README, "python")[0].code, str(README), "exec"), namespace)

    agent = namespace["agent"]
    assert isinstance(agent, limpet.Agent)
    assert [tool.spec.name for tool in agent.tools] == ["set_timer"]


# --- commands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", documents_with("sh"), ids=name_of)
def test_commands_in_documents_are_understood(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "agent.py").write_text(blocks_in(README, "python")[0].code, encoding="utf-8")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)

    for block in blocks_in(path, "sh"):
        for line in block.code.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                check_command(f"{name_of(path)}: {shlex.join(words)!r}", words)


def check_command(where: str, words: list[str]) -> None:
    try:
        match words:
            case ["python3", "build.py", "site", *rest] if rest:
                assert arguments.parse(words[2:]).site_words == rest
                site_command._parser("build.py").parse_args(["site", *rest])
            case ["python3", "build.py", *rest]:
                arguments.parse(rest)
            case ["python", "-m", "limpet", "site" | "dev", *_]:
                site_command._parser("limpet").parse_args(words[3:])
            case ["python", "-m", "limpet", *rest]:
                cli._parser().parse_args(rest)
            case ["python", program, *_] if program.endswith(".py"):
                assert (ROOT / program).is_file(), where
            case ["pip", "install", *packages]:
                extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
                for package in packages:
                    assert set(re.findall(r"^limpet\[(\w+)\]", package)) <= set(extras), where
            case [program, *_]:
                assert program in PROGRAMS, f"{where}: nothing checks {program!r}"
    except SystemExit:
        pytest.fail(f"{where} is not understood")


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_commands_that_the_text_names_exist(path: Path) -> None:
    named = set(re.findall(r"`(?:python3 )?build\.py ([a-z]+)", path.read_text("utf-8")))

    assert named <= {*main.COMMANDS, "clean"}


def test_the_readme_shows_the_commands_one_begins_with() -> None:
    words = [shlex.split(line)[2] for block in blocks_in(README, "sh") for line in block.code.splitlines() if line]

    assert set(words) >= {"run", "test", "ask", "site", "edge", "models"}


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    readme = "".join(block.code for block in blocks_in(README, "sh"))

    assert "exec python3 build.py test\n" in script
    assert "python3 build.py test " in readme


# --- other languages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", documents_with("json"), ids=name_of)
def test_json_in_documents_is_json(path: Path) -> None:
    for block in blocks_in(path, "json"):
        json.loads(block.code)


def test_typescript_in_documents_is_checked_by_its_compiler(tmp_path: Path) -> None:
    web = ROOT / "web"
    tsc = web / "node_modules/typescript/bin/tsc"
    if not tsc.is_file():
        pytest.skip("the npm packages are not installed: python3 build.py check")
    sources = tmp_path / "blocks"
    sources.mkdir()
    places: dict[str, tuple[str, Block]] = {}
    for path in DOCUMENTS:
        for block in blocks_of(path):
            for code, ending in scripts_of(block):
                file = f"{len(places)}.{ending}"
                places[file] = (f"{name_of(path)}:{block.line}", block)
                module = "" if re.search(r"^\s*(import|export)\b", code, re.MULTILINE) else "\nexport {};\n"
                (sources / file).write_text(code + module, "utf-8")
    bridge = web / "onnxruntime-web-bridge" / "src"
    settings = {
        "extends": str(web / "tsconfig.json"),
        "compilerOptions": {
            # What the blocks import is the source of what they would import in a built site.
            "rootDirs": [str(sources), str(web / "src")],
            "paths": {
                "@ai-sdk/react": [str(web / "node_modules/@ai-sdk/react/dist/index.d.ts")],
                "onnxruntime-web-bridge": [str(bridge / "index.ts")],
                "onnxruntime-web-bridge/node": [str(bridge / "node.ts")],
            },
            "typeRoots": [str(web / "node_modules/@types")],
            "allowJs": True,
            "checkJs": True,
            "noUnusedLocals": False,
            "noUnusedParameters": False,
            "verbatimModuleSyntax": False,
        },
        "include": [str(sources), str(DOCS / "live.js"), str(web / "src/css.d.ts")],
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps(settings), "utf-8")

    done = subprocess.run(
        [str(node.node()), str(tsc), "--noEmit", "--pretty", "false", "-p", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TSC_LIMIT_SECONDS,
    )

    wrong = []
    for line in done.stdout.splitlines():
        found = re.match(r"(?:.*/)?([\w.-]+)\((\d+),\d+\): error (TS\d+): (.*)", line)
        if found is None:
            wrong += [line] if line.startswith("error") else []
            continue
        where, block = places.get(found[1], (found[1], Block("ts", "", 0)))
        # A fragment may leave out where its names come from; all else about it must hold.
        if not (block.mark == "fragment" and found[3] in ("TS2304", "TS2552", "TS7006")):
            wrong.append(f"{where}, line {found[2]} of the block: {found[4]}")
    assert wrong == [], "\n".join(wrong)
    assert done.returncode in (0, 1, 2)
    assert len(places) > 5


def scripts_of(block: Block) -> Iterator[tuple[str, str]]:
    """The scripts in a block: itself, or those in a page, which nobody gave types."""
    if block.language == "ts":
        yield block.code, "ts"
    elif block.language == "html":
        for code in re.findall(r'<script type="module">(.*?)</script>', block.code, re.DOTALL):
            yield f"// @ts-nocheck\n{code}", "js"


class Elements(HTMLParser):
    """The attributes of each `<limpet-chat>`, and which elements were left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "limpet-chat":
            self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def attributes_of_the_element() -> set[str]:
    source = ELEMENT.read_text("utf-8")
    observed = re.search(r"observedAttributes = \[(.*?)\]", source, re.DOTALL)
    assert observed is not None
    styled = re.findall(r':host\(\[(\w+)="', (ELEMENT.parent / "chat.css").read_text("utf-8"))
    return {*re.findall(r'"([\w-]+)"', observed[1]), *re.findall(r'Attribute\("([a-z-]+)"\)', source), *styled}


def test_html_in_documents_uses_what_the_element_has() -> None:
    for path in documents_with("html"):
        for block in blocks_in(path, "html"):
            elements = Elements(block.code)
            assert elements.attributes <= attributes_of_the_element(), f"{name_of(path)}:{block.line}"
            assert elements.open in ([], ["html"]), f"{name_of(path)}:{block.line}"


def test_what_a_page_may_set_of_the_element_is_told() -> None:
    text = (DOCS / "embed.md").read_text("utf-8")
    rows = re.search(r"^\| attribute .*?\n\n", text, re.DOTALL | re.MULTILINE)
    css = (ELEMENT.parent / "chat.css").read_text("utf-8")
    template = (ELEMENT.parent / "element-template.ts").read_text("utf-8")
    looks = re.search(r"^\*\*Looks\.\*\*.*?\n\n", text, re.DOTALL | re.MULTILINE)
    assert rows is not None
    assert looks is not None

    cells = "".join(line.split("|")[1] for line in rows[0].strip().splitlines()[2:])
    assert set(re.findall(r"`([a-z-]+)`", cells)) == attributes_of_the_element()
    named = {*re.findall(r' part="([a-z-]+)"', template), *re.findall(r'slot name="(\w+)"', template)}
    assert set(re.findall(r"`([a-z-]+)`", looks[0])) == named | set(re.findall(r"var\((--limpet-[a-z-]+)", css))
    for block in blocks_in(DOCS / "embed.md", "css"):
        assert set(re.findall(r"--limpet-[a-z-]+", block.code)) <= set(re.findall(r"--limpet-[a-z-]+", css))
        assert set(re.findall(r"::part\((\w+)\)", block.code)) <= named
        assert block.code.count("{") == block.code.count("}")


# --- links, tables, pages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_in_documents_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
    dead = [link for link in links if "://" not in link and not (path.parent / link).exists()]

    assert dead == []


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=name_of)
def test_tables_are_what_the_runtime_says(path: Path) -> None:
    text = path.read_text("utf-8")

    assert docs_tables.fill(text) == text, "run python3 build.py generate"


def test_every_page_is_in_the_navigation_and_what_it_takes_in_is_there() -> None:
    listed = re.findall(r"^ +- [^:\n]+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    pages = {path.relative_to(DOCS).as_posix(): path.read_text("utf-8") for path in DOCS.rglob("*.md")}

    assert sorted(listed) == sorted(pages)
    taken = [name for text in pages.values() for name in re.findall(r"<!-- include: (\S+) -->", text)]
    assert taken != []
    assert all(docs_hooks.included(name) for name in taken)


def test_what_is_public_is_in_the_reference() -> None:
    documented: set[str] = set()
    for path in (DOCS / "api").glob("*.md"):
        text = path.read_text("utf-8")
        for module, members in re.findall(r"^::: limpet\.([\w.]+)(?:\n +options:\n +members: \[(.*)\])?", text, re.M):
            names = top_level_names(MODULES[module.replace(".", "/")] if module != "providers" else INIT_OF_PROVIDERS)
            chosen = {name.strip() for name in members.split(",")} if members else names
            assert chosen <= names, f"{name_of(path)}: limpet.{module} has no {chosen - names}"
            documented |= chosen

    assert set(limpet.__all__) <= documented


INIT_OF_PROVIDERS = PACKAGE / "providers" / "__init__.py"


def top_level_names(path: Path) -> set[str]:
    names: set[str] = set()
    for item in ast.parse(path.read_text("utf-8")).body:
        match item:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]):
                names.add(name)
    return {name for name in names if not name.startswith("_")}


def test_a_page_of_the_documentation_is_drawn_with_its_policy() -> None:
    page = docs_hooks.on_post_page("<html><head><script>go()</script><script src=x></script></head></html>")

    # The hash of `go()`, and nothing of what has an address.
    assert page.count("'sha256-") == 1
    assert "unsafe-inline' 'sha256" not in page
    drawn = docs_hooks.on_page_markdown('<!-- not run: why -->\n```python live prompt="a&b"\nx\n```\n')
    assert drawn == '<div class="limpet-live" data-prompt="a&amp;b" markdown="1">\n\n```python\nx\n```\n\n</div>\n'


@pytest.mark.parametrize("provider", [name for name in PROVIDERS if name not in ("local", "openai_compatible")])
def test_a_provider_names_the_source_of_its_facts(provider: str) -> None:
    assert "Source:" in (import_module(f"limpet.providers.{provider}").__doc__ or "")

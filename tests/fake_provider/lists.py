"""The rest that a provider is asked: vectors of texts, and the names of its models."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

DIMENSIONS = 64


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """Give a text's vector, of length 1: each word adds to two places, so texts that share words are near."""
    found = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()) or [""]:
        digest = hashlib.sha256(word.encode()).digest()
        for at in (0, 4):
            place = int.from_bytes(digest[at : at + 4], "big")
            found[place % dimensions] += 1.0 if place & 1 << 31 else -1.0
    length = math.hypot(*found) or 1.0
    return [round(number / length, 6) for number in found]


def answer_embeddings(path: str, body: Mapping[str, Any]) -> Any:
    """Answer a request for vectors in the shape that it is written in; None when it is none."""
    if path.endswith(":batchEmbedContents"):
        texts = ["".join(part.get("text", "") for part in item["content"]["parts"]) for item in body["requests"]]
        return {"embeddings": [{"values": vector(text)} for text in texts]}
    if path.endswith("/api/embed"):
        return {"model": body["model"], "embeddings": [vector(text) for text in _texts(body["input"])]}
    if path.endswith("/embed"):
        return {"id": "1", "embeddings": {"float": [vector(text) for text in body["texts"]]}, "texts": body["texts"]}
    if "/run/" in path and "text" in body:
        vectors = [vector(text) for text in _texts(body["text"])]
        result = {"shape": [len(vectors), DIMENSIONS], "data": vectors}
        return {"result": result, "success": True, "errors": [], "messages": []}
    if path.endswith("/embeddings"):  # OpenAI, its imitators, Voyage, Jina
        dimensions = int(body.get("dimensions") or DIMENSIONS)
        data = [
            {"object": "embedding", "index": index, "embedding": vector(text, dimensions)}
            for index, text in enumerate(_texts(body["input"]))
        ]
        return {"object": "list", "data": data, "model": body.get("model", ""), "usage": {"total_tokens": 1}}
    return None


def answer_models(path: str, names: Sequence[str]) -> Any:
    """Answer a request for the list of models in the shape of its address; None when it is none."""
    if path.endswith("/api/tags"):
        return {"models": [{"name": name, "model": name} for name in names]}
    if path.endswith("/models/search"):
        return {"result": [{"id": "1", "name": name} for name in names], "success": True, "errors": []}
    if path.endswith("/foundation-models"):
        return {"modelSummaries": [{"modelId": name} for name in names]}
    if path.endswith("/v1beta/models"):
        return {"models": [{"name": f"models/{name}"} for name in names]}
    if path.endswith("/models"):
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}
    return None


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)

"""Each format of embeddings: what is sent, and where the vectors stand."""

from __future__ import annotations

from typing import Any

import pytest

from limpet.protocols import embeddings
from limpet.protocols.embeddings import EmbeddingFormat
from limpet.protocols.wire_protocol import AnswerContext

CASES: list[Any] = [
    (
        embeddings.OPENAI,
        "/embeddings",
        {"model": "m", "input": ["a", "b"]},
        {"data": [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}]},
    ),
    (
        embeddings.VOYAGE,
        "/embeddings",
        {"model": "m", "input": ["a", "b"], "input_type": "query"},
        {"data": [{"embedding": [1], "index": 0}, {"embedding": [2], "index": 1}]},
    ),
    (
        embeddings.JINA,
        "/embeddings",
        {"model": "m", "input": ["a", "b"], "task": "retrieval.query"},
        {"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [2]}]},
    ),
    (
        embeddings.COHERE,
        "/embed",
        {"model": "m", "texts": ["a", "b"], "input_type": "search_query", "embedding_types": ["float"]},
        {"id": "x", "embeddings": {"float": [[1], [2]]}, "texts": ["a", "b"]},
    ),
    (
        embeddings.GEMINI,
        "/models/m:batchEmbedContents",
        {
            "requests": [
                {"model": "models/m", "content": {"parts": [{"text": text}]}, "taskType": "RETRIEVAL_QUERY"}
                for text in "ab"
            ]
        },
        {"embeddings": [{"values": [1]}, {"values": [2]}]},
    ),
    (embeddings.OLLAMA, "/api/embed", {"model": "m", "input": ["a", "b"]}, {"model": "m", "embeddings": [[1], [2]]}),
    (
        embeddings.WORKERS_AI,
        "/run/m",
        {"text": ["a", "b"]},
        {"result": {"shape": [2, 1], "data": [[1], [2]]}, "success": True, "errors": []},
    ),
]


@pytest.mark.parametrize(
    ("form", "path", "body", "answer"),
    CASES,
    ids=("openai", "voyage", "jina", "cohere", "gemini", "ollama", "workers_ai"),
)
def test_each_format(form: EmbeddingFormat, path: str, body: Any, answer: Any) -> None:
    rendered = form.render(["a", "b"], model="m", purpose="query")

    assert (rendered.path, rendered.body) == (path, body)
    assert form.read(answer, AnswerContext("p", "m", str), 2) == [[1.0], [2.0]]

"""Alibaba's Model Studio (Qwen).

Source: alibabacloud.com/help/en/model-studio, "OpenAI compatible": outside China; other regions by `base_url`.
"""

from __future__ import annotations

from dataclasses import replace

from ..protocols.embeddings import OPENAI
from .service import Service

SERVICE = Service(
    provider="dashscope",
    base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    key_name="DASHSCOPE_API_KEY",
    embeddings=replace(OPENAI, most_texts=10),
    context_lengths={"qwen-max": 32_768, "qwen-plus": 131_072, "qwen3-max": 262_144},
)

"""NVIDIA's hosted models (NIM).

Source: docs.api.nvidia.com/nim/reference/llm-apis; its embeddings want `input_type` as Voyage's do, in other words.
"""

from __future__ import annotations

from .service import Service

SERVICE = Service(
    provider="nvidia",
    base_url="https://integrate.api.nvidia.com/v1",
    key_name="NVIDIA_API_KEY",
)

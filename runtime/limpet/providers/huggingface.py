"""Hugging Face's router to many providers.

Source: huggingface.co/docs/inference-providers; its JavaScript library runs in pages.
"""

from __future__ import annotations

from .service import Service

SERVICE = Service(
    provider="huggingface",
    base_url="https://router.huggingface.co/v1",
    key_name="HF_TOKEN",
    browser_access="open",
)

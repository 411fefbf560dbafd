"""Groq. Source: console.groq.com/docs/openai, /docs/models; its JavaScript library has `dangerouslyAllowBrowser`."""

from __future__ import annotations

from .service import Service

SERVICE = Service(
    provider="groq",
    base_url="https://api.groq.com/openai/v1",
    key_name="GROQ_API_KEY",
    has_json_schema=False,  # "Structured Outputs": neither streamed nor with tools, and by few models
    browser_access="open",
    context_lengths={"llama-3": 131_072, "openai/gpt-oss": 131_072},
)

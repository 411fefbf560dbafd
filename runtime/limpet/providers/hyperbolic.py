"""Hyperbolic. Source: docs.hyperbolic.xyz/docs/rest-api: function calling isn't documented."""

from __future__ import annotations

from .service import Service

SERVICE = Service(
    provider="hyperbolic",
    base_url="https://api.hyperbolic.xyz/v1",
    key_name="HYPERBOLIC_API_KEY",
    has_tools=False,
    has_parallel_tools=False,
    has_json_schema=False,
)

"""What an operator sets: variables and secrets by name, read once and early, so that a mistake is told at the start.

`LIMPET_ACCESS`, `LIMPET_KEYS`, `LIMPET_TOKEN_SECRET`, `LIMPET_ORIGINS`, `LIMPET_MAX_BODY_BYTES`,
`LIMPET_REQUESTS_PER_MINUTE` (of those without a key), `LIMPET_GATEWAY`, `LIMPET_BASE_URLS`, `LIMPET_RESUME_SECONDS`,
`LIMPET_MODEL` and `LIMPET_BASE_URL` (a remote model in the place of the agent's own).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..errors import ConfigurationError
from ..model import ModelReference
from ..wire import RemoteSettingsWire
from .access import Access, Limits, Origins, read_keys

MAX_BODY_BYTES = 1_000_000
MAX_HEADER_BYTES = 16_384
COOLDOWN_SECONDS = 15
RESUME_SECONDS = 30
Get = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Route:
    """A model of the gateway's: the providers' models behind its name, asked in the order of their health."""

    models: tuple[ModelReference, ...]
    is_embedding: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """All that an operator may set."""

    access: Access = Access()
    origins: Origins = Origins()
    max_body_bytes: int = MAX_BODY_BYTES
    routes: Mapping[str, Route] = field(default_factory=dict)
    cache_seconds: float = 0
    cooldown_seconds: float = COOLDOWN_SECONDS
    """How long the gateway asks a model last that has failed again and again."""
    resume_seconds: int = RESUME_SECONDS
    """After how long a run that was broken off goes on by itself."""
    base_urls: Mapping[str, str] = field(default_factory=dict)
    remote: RemoteSettingsWire | None = None

    @classmethod
    def read(cls, get: Get) -> Settings:
        """Read the variables. Raises `ConfigurationError` naming the one that is wrong, never what a secret holds."""
        gateway = _json(get, "LIMPET_GATEWAY", {})
        base_urls = _json(get, "LIMPET_BASE_URLS", {})
        return cls(
            access=_read_access(get),
            origins=Origins(frozenset(_words(get("LIMPET_ORIGINS") or ""))),
            max_body_bytes=_whole(get, "LIMPET_MAX_BODY_BYTES") or MAX_BODY_BYTES,
            routes=_read_routes(gateway.get("models", {}), base_urls),
            cache_seconds=_seconds(gateway, "cache_seconds", 0),
            cooldown_seconds=_seconds(gateway, "cooldown_seconds", COOLDOWN_SECONDS),
            resume_seconds=_whole(get, "LIMPET_RESUME_SECONDS") or RESUME_SECONDS,
            base_urls={str(name): _url("LIMPET_BASE_URLS", url) for name, url in base_urls.items()},
            remote=_read_remote(get),
        )


def _read_access(get: Get) -> Access:
    kind = get("LIMPET_ACCESS") or "keys"
    if kind not in ("keys", "open"):
        raise ConfigurationError(f"LIMPET_ACCESS is 'keys' or 'open', not {kind!r}")
    secret = get("LIMPET_TOKEN_SECRET") or ""
    if 0 < len(secret) < 32:
        raise ConfigurationError("LIMPET_TOKEN_SECRET needs 32 characters or more")
    return Access(
        keys=read_keys(_json(get, "LIMPET_KEYS", {})),
        token_secret=secret.encode() or None,
        is_open=kind == "open",
        open_limits=Limits(requests_per_minute=_whole(get, "LIMPET_REQUESTS_PER_MINUTE")),
    )


def _read_remote(get: Get) -> RemoteSettingsWire | None:
    model, base_url = get("LIMPET_MODEL"), get("LIMPET_BASE_URL")
    if not model and not base_url:
        return None
    remote: RemoteSettingsWire = {"model": model or ""}
    if base_url:
        remote["base_url"] = _url("LIMPET_BASE_URL", base_url)
    if key := get("LIMPET_REMOTE_API_KEY"):
        remote["api_key"] = key
    return remote


def _read_routes(data: object, base_urls: Mapping[str, object]) -> dict[str, Route]:
    if not isinstance(data, Mapping):
        raise ConfigurationError("LIMPET_GATEWAY: models is an object of lists by name")
    routes = {}
    for name, entry in data.items():
        is_embedding = isinstance(entry, Mapping)
        models = entry.get("embeddings") if isinstance(entry, Mapping) else entry
        if not isinstance(models, list) or not models:
            raise ConfigurationError(
                f"LIMPET_GATEWAY: {name!r} is a list of models such as ['openai:gpt-5-mini'], or an object with such "
                "a list as 'embeddings'"
            )
        routes[str(name)] = Route(tuple(_read_reference(model) for model in models), is_embedding)
    return routes


def _read_reference(entry: object) -> ModelReference:
    if isinstance(entry, str):
        return ModelReference.parse(entry)
    if isinstance(entry, Mapping) and isinstance(entry.get("model"), str):
        reference = ModelReference.parse(entry["model"])
        base_url, key_name = entry.get("base_url"), entry.get("key_name")
        options = {name: value for name, value in entry.items() if name not in ("model", "base_url", "key_name")}
        return ModelReference(
            reference.provider,
            reference.name,
            None if base_url is None else _url("LIMPET_GATEWAY", base_url),
            None if key_name is None else str(key_name),
            options,
        )
    raise ConfigurationError("LIMPET_GATEWAY: a model is 'provider:name', or an object with that as 'model'")


def _json(get: Get, name: str, default: dict[str, object]) -> dict[str, object]:
    text = get(name)
    if not text:
        return default
    try:
        data = json.loads(text)
    except ValueError:
        raise ConfigurationError(f"{name} is not JSON") from None
    if not isinstance(data, dict):
        raise ConfigurationError(f"{name} must be a JSON object")
    return data


def _whole(get: Get, name: str) -> int | None:
    text = get(name)
    if not text:
        return None
    if not text.isdecimal() or int(text) == 0:
        raise ConfigurationError(f"{name} is a whole number above 0")
    return int(text)


def _seconds(gateway: Mapping[str, object], name: str, default: float) -> float:
    value = gateway.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise ConfigurationError(f"LIMPET_GATEWAY: {name} is a number, not below 0")
    return value


def _words(text: str) -> list[str]:
    return [word.strip().rstrip("/") for word in text.split(",") if word.strip()]


def _url(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        raise ConfigurationError(f"{name}: an address begins with https:// or http://")
    return value

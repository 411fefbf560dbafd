"""Who is asking: bearer keys, signed session tokens that expire, and the origins whose pages are let in.

A key is compared by its hash and in constant time, a token by its signature. Neither is ever in an error's text.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from ..errors import ConfigurationError
from .http import HttpError, Reply, Request

_PREFIX = "lt1"
LONGEST_TOKEN_SECONDS = 7 * 24 * 3600
SCOPES = ("agent", "gateway", "tokens")
"""What a caller may do: talk to the agent; reach the configured providers; make session tokens for others."""
_NO_KEY = {"www-authenticate": "Bearer"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one key may use; None is no limit. Money is in US dollars, days and months are those of UTC."""

    requests_per_minute: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    cost_per_day: float | None = None
    cost_per_month: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to count against."""
        return self.requests_per_minute is None and not self.has_budget

    @property
    def has_budget(self) -> bool:
        """Whether tokens or money are limited."""
        return any(getattr(self, item.name) is not None for item in fields(self) if item.name != "requests_per_minute")


@dataclass(frozen=True, slots=True)
class Key:
    """A virtual key: its SHA-256, and what its holder may do. `models` are names of the gateway's; None is all."""

    name: str
    sha256: bytes
    scopes: frozenset[str] = frozenset(SCOPES)
    models: frozenset[str] | None = None
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. Conversations belong to the `subject`; what is used is counted for `account`."""

    subject: str
    account: str
    scopes: frozenset[str]
    conversation_id: str | None = None
    models: frozenset[str] | None = None
    limits: Limits = Limits()

    def need(self, scope: str) -> None:
        """Refuse a caller without a scope. Raises `HttpError`."""
        if scope not in self.scopes:
            raise HttpError(403, "forbidden", f"this key or token may not be used for the {scope}")

    def may_use(self, conversation_id: str) -> None:
        """Refuse a caller whose token is for another conversation. Raises `HttpError`."""
        if self.conversation_id is not None and self.conversation_id != conversation_id:
            raise HttpError(403, "forbidden", "this token is for another conversation")


@dataclass(frozen=True, slots=True)
class Access:
    """How callers are told apart. With `is_open` whoever has no key is let in as "anyone", to the agent only."""

    keys: tuple[Key, ...] = ()
    token_secret: bytes | None = field(default=None, repr=False)
    is_open: bool = False
    open_limits: Limits = Limits()

    def identify(self, request: Request, now: float) -> Caller:
        """Tell who asks. Raises `HttpError` (401)."""
        header = request.headers.get("authorization", "")
        scheme, _, value = header.partition(" ")
        value = value.strip()
        if not value or scheme.lower() != "bearer":
            if self.is_open and not header:
                return Caller("anyone", "anyone", frozenset({"agent"}), limits=self.open_limits)
            raise HttpError(401, "no_key", "send a key: Authorization: Bearer ...", headers=_NO_KEY)
        if value.startswith(f"{_PREFIX}."):
            return self._read_token(value, now)
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
        found = None
        for key in self.keys:  # all of them, so that the time tells nothing
            if hmac.compare_digest(key.sha256, digest):
                found = key
        if found is None:
            raise _refused()
        return Caller(found.name, found.name, found.scopes, models=found.models, limits=found.limits)

    def _read_token(self, token: str, now: float) -> Caller:
        claims = read_token(self.token_secret, token, now)
        account = next((key for key in self.keys if key.name == claims["key"]), None)
        if account is None and claims["key"] != "":
            raise _refused()  # whoever made it is gone
        limits = self.open_limits if account is None else account.limits
        scopes = frozenset({"agent"}) & (account.scopes if account else frozenset({"agent"}))
        conversation = claims["conversation_id"]
        # A user's conversations are apart from those of a key by the sign that no key's name has.
        subject = f"{claims['key']}~{claims['subject']}"
        return Caller(subject, claims["key"] or "anyone", scopes, conversation_id=conversation, limits=limits)


def _refused() -> HttpError:
    return HttpError(401, "wrong_key", "this key or token is not valid here", headers=_NO_KEY)


def sign_token(
    secret: bytes, *, subject: str, expires_at: float, key: str = "", conversation_id: str | None = None
) -> str:
    """Make a session token: for one user (`subject`), until a time, and for one conversation only if that is given.

    `key` is the name of the key whose limits its use is counted against.
    """
    claims = {"subject": subject, "key": key, "expires_at": int(expires_at), "conversation_id": conversation_id}
    payload = _encode(json.dumps(claims, separators=(",", ":")).encode())
    return f"{_PREFIX}.{payload}.{_encode(_sign(secret, payload))}"


def read_token(secret: bytes | None, token: str, now: float) -> dict[str, str]:
    """Give the claims of a token. Raises `HttpError` when it is forged, broken or too old."""
    pieces = token.split(".")
    if secret is None or len(pieces) != 3 or pieces[0] != _PREFIX:
        raise _refused()
    _, payload, signature = pieces
    try:
        # As texts: the last letter of a signature has bits that don't count.
        if not hmac.compare_digest(signature, _encode(_sign(secret, payload))):
            raise _refused()
        claims = json.loads(_decode(payload))
        if claims["expires_at"] < now:
            raise HttpError(401, "token_expired", "this token has expired", headers=_NO_KEY)
        conversation_id = claims["conversation_id"]
        return {"subject": claims["subject"], "key": claims["key"], "conversation_id": conversation_id}
    except (ValueError, KeyError, TypeError):
        raise _refused() from None


def _sign(secret: bytes, payload: str) -> bytes:
    return hmac.new(secret, f"{_PREFIX}.{payload}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)


# --- from one Worker to the next --------------------------------------------------------------------------------


def caller_to_text(caller: Caller) -> str:
    """Write a caller for a Durable Object, which only we can reach."""
    data = asdict(caller)
    data["scopes"] = sorted(caller.scopes)
    data["models"] = None if caller.models is None else sorted(caller.models)
    return json.dumps(data, separators=(",", ":"))


def caller_from_text(text: str) -> Caller:
    """Read a caller that `caller_to_text` wrote."""
    data = json.loads(text)
    limits = Limits(**data.pop("limits"))
    scopes = frozenset(data.pop("scopes"))
    models = data.pop("models")
    return Caller(scopes=scopes, limits=limits, models=None if models is None else frozenset(models), **data)


# --- origins ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Origins:
    """The origins whose pages may call: a list without patterns. Requests that come from no page have no origin."""

    allowed: frozenset[str] = frozenset()

    def check(self, request: Request) -> Mapping[str, str]:
        """Give the headers for the answer to a request. Raises `HttpError` for a page of another origin."""
        origin = request.headers.get("origin")
        if origin is None:
            return {}
        if origin not in self.allowed:
            raise HttpError(403, "origin_not_allowed", "pages of this origin may not call this server")
        return {"access-control-allow-origin": origin, "vary": "Origin"}

    def preflight(self, request: Request) -> Reply:
        """Answer what a browser asks before it sends a page's request. Raises `HttpError`."""
        headers = {
            **self.check(request),
            "access-control-allow-methods": "GET, POST, DELETE",
            "access-control-allow-headers": "authorization, content-type, last-event-id",
            "access-control-max-age": "7200",
        }
        return Reply(204, headers)


def read_keys(data: object) -> tuple[Key, ...]:
    """Read the keys of a configuration: an object of `{"key" or "sha256", "scopes", "models", and limits}` by name.

    Raises `ConfigurationError`.
    """
    if not isinstance(data, Mapping):
        raise ConfigurationError("LIMPET_KEYS must be a JSON object of keys by name")
    return tuple(_read_key(str(name), entry) for name, entry in data.items())


def _read_key(name: str, entry: object) -> Key:
    where = f"LIMPET_KEYS: {name!r}"
    if not name or "~" in name or not isinstance(entry, Mapping):
        raise ConfigurationError(f"{where} must be an object, under a name without ~")
    known = {"key", "sha256", "scopes", "models", *(item.name for item in fields(Limits))}
    if unknown := sorted(set(entry) - known):
        raise ConfigurationError(f"{where} has no use for {', '.join(map(repr, unknown))}; known are {sorted(known)}")
    scopes = entry.get("scopes", list(SCOPES))
    models = entry.get("models")
    if not isinstance(scopes, list) or not set(scopes) <= set(SCOPES):
        raise ConfigurationError(f"{where}: scopes is a list of {', '.join(SCOPES)}")
    if models is not None and not isinstance(models, list):
        raise ConfigurationError(f"{where}: models is a list of names of the gateway's models")
    return Key(
        name,
        _read_digest(where, entry),
        frozenset(scopes),
        None if models is None else frozenset(map(str, models)),
        _read_limits(where, entry),
    )


def _read_digest(where: str, entry: Mapping[str, object]) -> bytes:
    key, digest = entry.get("key"), entry.get("sha256")
    if isinstance(key, str) and len(key) >= 16 and not key.startswith(f"{_PREFIX}.") and digest is None:
        return hashlib.sha256(key.encode()).digest()
    if isinstance(digest, str) and key is None:
        try:
            if len(found := bytes.fromhex(digest)) == 32:
                return found
        except ValueError:
            pass
    raise ConfigurationError(f"{where} needs a key of 16 characters or more, or the sha256 of one in hexadecimal")


def _read_limits(where: str, entry: Mapping[str, object]) -> Limits:
    values = {}
    for item in fields(Limits):
        value = entry.get(item.name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise ConfigurationError(f"{where}: {item.name} is a number, not below 0")
        values[item.name] = value
    return Limits(**values)  # type: ignore[arg-type]  # each was looked at

"""Who may ask: keys, tokens that can't be forged, origins; and what is told of a wrong setting."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet import ConfigurationError
from limpet.model import ModelReference
from limpet.serving.access import (
    Access,
    Caller,
    Limits,
    Origins,
    caller_from_text,
    caller_to_text,
    read_keys,
    read_token,
    sign_token,
)
from limpet.serving.http import HttpError, Request
from limpet.serving.settings import Route, Settings

SECRET = b"a secret of at least thirty-two bytes"
NOW = 1_000_000.0
KEYS = {"one": {"key": "key-0123456789-one"}, "two": {"sha256": hashlib.sha256(b"other").hexdigest(), "scopes": []}}
ACCESS = Access(keys=read_keys(KEYS), token_secret=SECRET)


def asking(value: str | None, **headers: str) -> Request:
    return Request("GET", "/", headers={**({} if value is None else {"authorization": value}), **headers})


def refused(request: Request, access: Access = ACCESS, now: float = NOW) -> tuple[int, str]:
    with pytest.raises(HttpError) as caught:
        access.identify(request, now)
    return caught.value.status, caught.value.code


def test_a_key_tells_who_asks() -> None:
    caller = ACCESS.identify(asking("Bearer key-0123456789-one"), NOW)

    assert caller == Caller("one", "one", frozenset({"agent", "gateway", "tokens"}))
    assert ACCESS.identify(asking("bearer other"), NOW) == Caller("two", "two", frozenset())


@pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer ", "Basic b25lOnR3bw==", "key-0123456789-one"])
def test_without_a_key_nobody_is_let_in(value: str | None) -> None:
    assert refused(asking(value)) == (401, "no_key")


@pytest.mark.parametrize("value", ["wrong", "key-0123456789-on", "\ud800", "lt1.", "lt1.a.b", "lt1.a.b.c"])
def test_a_wrong_key_is_refused(value: str) -> None:
    assert refused(asking(f"Bearer {value}")) == (401, "wrong_key")


def test_an_open_server_lets_in_who_has_no_key_but_nobody_with_a_wrong_one() -> None:
    access = Access(is_open=True, open_limits=Limits(requests_per_minute=5))
    caller = access.identify(asking(None), NOW)

    assert caller == Caller("anyone", "anyone", frozenset({"agent"}), limits=Limits(requests_per_minute=5))
    assert refused(asking("Bearer wrong"), access) == (401, "wrong_key")


def test_a_token_is_for_one_user_under_the_key_that_made_it() -> None:
    token = sign_token(SECRET, subject="anna", key="one", expires_at=NOW + 60, conversation_id="c")
    caller = ACCESS.identify(asking(f"Bearer {token}"), NOW)

    assert caller == Caller("one~anna", "one", frozenset({"agent"}), conversation_id="c")
    caller.may_use("c")
    with pytest.raises(HttpError):
        caller.may_use("d")
    with pytest.raises(HttpError):
        caller.need("gateway")


def test_a_token_expires() -> None:
    token = sign_token(SECRET, subject="anna", key="one", expires_at=NOW + 60)

    assert ACCESS.identify(asking(f"Bearer {token}"), NOW + 60).subject == "one~anna"
    assert refused(asking(f"Bearer {token}"), now=NOW + 61) == (401, "token_expired")


@given(place=st.integers(0, 400), letter=st.characters(codec="ascii"))
def test_a_changed_token_is_worth_nothing(place: int, letter: str) -> None:
    token = sign_token(SECRET, subject="anna", key="one", expires_at=NOW + 60)
    place %= len(token)
    changed = token[:place] + letter + token[place + 1 :]
    if changed != token:
        with pytest.raises(HttpError) as caught:
            read_token(SECRET, changed, NOW)
        assert caught.value.code == "wrong_key"


def test_a_token_of_another_secret_or_of_a_key_that_is_gone_is_refused() -> None:
    foreign = sign_token(b"x" * 32, subject="anna", key="one", expires_at=NOW + 60)
    orphan = sign_token(SECRET, subject="anna", key="gone", expires_at=NOW + 60)

    assert refused(asking(f"Bearer {foreign}")) == (401, "wrong_key")
    assert refused(asking(f"Bearer {orphan}")) == (401, "wrong_key")
    assert refused(asking(f"Bearer {orphan}"), Access()) == (401, "wrong_key")


def test_a_caller_crosses_to_a_durable_object() -> None:
    limits = Limits(requests_per_minute=3, cost_per_day=0.5)
    for models in (None, frozenset({"a", "b"})):
        caller = Caller("s", "a", frozenset({"agent"}), conversation_id="c", models=models, limits=limits)
        assert caller_from_text(caller_to_text(caller)) == caller


def test_only_listed_origins_are_let_in() -> None:
    origins = Origins(frozenset({"https://page.example"}))
    allowed = origins.check(asking(None, origin="https://page.example"))

    assert allowed == {"access-control-allow-origin": "https://page.example", "vary": "Origin"}
    assert origins.check(asking(None)) == {}
    for origin in ("https://page.example.evil", "http://page.example", "null", ""):
        with pytest.raises(HttpError) as caught:
            origins.check(asking(None, origin=origin))
        assert caught.value.status == 403


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"a": 1},
        {"a": {}},
        {"a~b": {"key": "x" * 16}},
        {"a": {"key": "short"}},
        {"a": {"sha256": "00"}},
        {"a": {"key": "x" * 16, "sha256": "0" * 64}},
        {"a": {"key": "x" * 16, "scopes": ["all"]}},
        {"a": {"key": "x" * 16, "limit": 1}},
        {"a": {"key": "x" * 16, "cost_per_day": -1}},
    ],
    ids=json.dumps,
)
def test_a_wrong_key_setting_is_told_without_the_key(data: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_keys(data)

    assert "x" * 16 not in caught.value.message


def test_settings_are_read() -> None:
    gateway = {
        "models": {"a": ["openai:b"], "v": {"embeddings": [{"model": "openai:w", "key_name": "K"}]}},
        "cache_seconds": 60,
    }
    values = {
        "LIMPET_ORIGINS": " https://a.example/ , https://b.example",
        "LIMPET_GATEWAY": json.dumps(gateway),
        "LIMPET_BASE_URLS": '{"openai": "http://127.0.0.1:1"}',
        "LIMPET_MODEL": "openai:x",
        "LIMPET_MAX_BODY_BYTES": "1000",
    }
    settings = Settings.read(values.get)

    assert settings == Settings(
        origins=Origins(frozenset({"https://a.example", "https://b.example"})),
        max_body_bytes=1000,
        routes={
            "a": Route((ModelReference("openai", "b"),)),
            "v": Route((ModelReference("openai", "w", key_name="K"),), is_embedding=True),
        },
        cache_seconds=60,
        base_urls={"openai": "http://127.0.0.1:1"},
        remote={"model": "openai:x"},
    )
    assert Settings.read(lambda _: None) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LIMPET_ACCESS", "all"),
        ("LIMPET_TOKEN_SECRET", "short"),
        ("LIMPET_KEYS", "{"),
        ("LIMPET_KEYS", "[]"),
        ("LIMPET_GATEWAY", '{"models": {"a": []}}'),
        ("LIMPET_GATEWAY", '{"models": {"a": ["b"]}}'),
        ("LIMPET_GATEWAY", '{"cache_seconds": -1}'),
        ("LIMPET_BASE_URLS", '{"openai": "file:///etc"}'),
        ("LIMPET_BASE_URL", "javascript:1"),
        ("LIMPET_MAX_BODY_BYTES", "0"),
        ("LIMPET_MAX_BODY_BYTES", "many"),
    ],
)
def test_a_wrong_setting_is_told_by_its_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.read({name: value}.get)

    assert name in caught.value.message or "model" in caught.value.message

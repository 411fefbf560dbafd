from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import Any, get_args

import pytest

from limpet import errors
from limpet.errors import (
    AgentError,
    AuthenticationError,
    FallbackReason,
    FetchError,
    FetchFailure,
    LowConfidenceError,
    ModelError,
    RateLimitError,
    StorageError,
)

CLASSES: list[type[AgentError]] = [
    value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)
]


def drawn_tree() -> list[tuple[str, str, str]]:
    """Read the tree from the module's docstring: class, its base, what is said of it."""
    rows = []
    above: list[str] = []
    for line in inspect.getdoc(errors).split("```")[1].strip().splitlines():  # type: ignore[union-attr]
        match = re.fullmatch(r"([│├└─ ]*)(\w+)\s+(.*)", line)
        assert match, line
        depth = len(match[1]) // 3
        del above[depth:]
        rows.append((match[2], above[-1] if above else "Exception", match[3]))
        above.append(match[2])
    return rows


def make(cls: type[AgentError]) -> AgentError:
    """Make an error with every field set."""
    values: dict[str, Any] = {
        "message": "what happened",
        "provider": "openai",
        "model": "gpt",
        "status": 429,
        "retry_after_seconds": 1.5,
        "confidence": 0.25,
        "honest_answer": "no tool fits",
        "kind": "offline",
        "key": "conversations/a",
        "hook": "Guard",
        "resource": "memory",
        "needed_bytes": 300,
        "available_bytes": 200,
    }
    return cls(**{name: values[name] for name in inspect.signature(cls).parameters})


def test_the_docstring_draws_the_tree() -> None:
    drawn = [(name, base) for name, base, _ in drawn_tree()]

    assert drawn == [(name, base) for name, base in drawn if name in vars(errors)]
    assert sorted(drawn) == sorted((cls.__name__, cls.__bases__[0].__name__) for cls in CLASSES)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, _, text in drawn_tree()])
def test_the_docstring_tells_what_can_be_done(name: str, text: str) -> None:
    cls = getattr(errors, name)
    arrow = text.partition("->")[2]

    assert cls.is_retryable is ("retry" in arrow)
    if issubclass(cls, ModelError) and cls is not ModelError:
        assert (cls.fallback_reason is not None) is ("fallback" in arrow and "no fallback" not in arrow)


def test_each_reason_to_fall_back_has_an_error() -> None:
    reasons = {cls.fallback_reason for cls in CLASSES if issubclass(cls, ModelError)}

    assert reasons - {None} == set(get_args(FallbackReason))


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_errors_survive_pickling_and_copying(cls: type[AgentError]) -> None:
    error = make(cls)

    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is cls
        assert str(other) == "what happened"
        assert other.args == error.args
        assert vars(other) == vars(error)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_errors_say_when_they_are_raised(cls: type[AgentError]) -> None:
    assert cls.__doc__
    assert cls.__name__.endswith("Error")
    assert str(make(cls)) == make(cls).message


def test_fields_are_kept() -> None:
    limited = RateLimitError("a", provider="p", model="m", status=429, retry_after_seconds=2)
    unsure = LowConfidenceError("a", confidence=0.1, honest_answer="no")

    assert (limited.provider, limited.model, limited.status, limited.retry_after_seconds) == ("p", "m", 429, 2)
    assert (unsure.confidence, unsure.honest_answer, unsure.fallback_reason) == (0.1, "no", "low_confidence")
    assert StorageError("a", key="k").key == "k"
    assert AuthenticationError("a").status is None


@pytest.mark.parametrize("kind", get_args(FetchFailure))
def test_a_failed_fetch_says_how(kind: FetchFailure) -> None:
    assert FetchError("a", kind=kind).kind == kind

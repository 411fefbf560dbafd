"""What must agree is compared: `wire.ts` is what `wire.py` says, and the generator writes what it promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from tooling.generate_wire import UnknownFormError, generate, generate_from, target

ROOT = Path(__file__).resolve().parents[1]

WIRE = '''
from typing import Literal, NotRequired, TypedDict

from .errors import Reason

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Kind = Literal["a", "b"]
"""What it is."""
CHECKS = {}


class Part(TypedDict):
    """A part.

    It has two lines.
    """

    type: Literal["part"]
    kind: Kind
    reason: Reason | None
    sizes: list[int | None]
    extra: NotRequired[dict[str, Json]]
    """Only sometimes."""
'''
ERRORS = 'Reason = Literal["x | y"]\nOther = Literal["z"]\n'

TYPESCRIPT = """\
// Generated from runtime/limpet/wire.py by `python3 build.py generate`. Do not edit: change wire.py instead.

export type Reason = "x | y";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What it is. */
export type Kind = "a" | "b";

/**
 * A part.
 *
 * It has two lines.
 */
export type Part = {
  type: "part";
  kind: Kind;
  reason: Reason | null;
  sizes: (number | null)[];
  /** Only sometimes. */
  extra?: { [key: string]: Json };
};
"""


def test_wire_ts_is_current() -> None:
    assert target(ROOT).read_text("utf-8") == generate_from(ROOT), "run: python3 build.py generate"


def test_types_are_written_in_typescript() -> None:
    assert generate(WIRE, ERRORS) == TYPESCRIPT


@pytest.mark.parametrize("annotation", ["bytes", "tuple[int, str]", "dict[int, str]", "Unheard", "list"])
def test_a_type_without_a_typescript_form_is_refused_with_its_line(annotation: str) -> None:
    with pytest.raises(UnknownFormError, match=r"wire\.py, line 2: .* has no TypeScript form"):
        generate(f"class A(TypedDict):\n    field: {annotation}\n", "")


def test_a_line_that_is_no_field_is_refused() -> None:
    with pytest.raises(UnknownFormError, match=r"line 2: this line of A"):
        generate("class A(TypedDict):\n    field = 3\n", "")

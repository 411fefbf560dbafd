from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.docstrings import parse_docstring

GOOGLE = """Set a kitchen timer.

    It rings once.

    Note: it is loud.

    Args:
        minutes (int, optional): How long,
            in minutes: whole ones.

            At most 600.
        label: What it is for.
        *rest: More.
        a, b (dict[str, int]): Two of them.

    Returns:
        What was set.

    Raises:
        ValueError: never mind.
    """
NUMPY = """Set a kitchen timer.

    It rings once.

    Parameters
    ----------
    minutes : int, optional
        How long,
        in minutes: whole ones.
    label
        What it is for.
    a, b : float
        Two of them.

    Returns
    -------
    str
        What was set.

    Notes
    -----
    minutes : not this one.
    """
SPHINX = """Set a kitchen timer.

    It rings once.

    :param int minutes: How long,
        in minutes: whole ones.
    :type minutes: int
    :param label: What it is for.
    :returns: What was set.
    :raises ValueError: never mind.
    """


@pytest.mark.parametrize(
    ("text", "description", "parameters"),
    [
        pytest.param(None, "", {}, id="none"),
        pytest.param("", "", {}, id="empty"),
        pytest.param("Say hello.", "Say hello.", {}, id="one line"),
        pytest.param(
            GOOGLE,
            "Set a kitchen timer.\n\nIt rings once.\n\nNote: it is loud.",
            {
                "minutes": "How long, in minutes: whole ones. At most 600.",
                "label": "What it is for.",
                "rest": "More.",
                "a": "Two of them.",
                "b": "Two of them.",
            },
            id="google",
        ),
        pytest.param(
            NUMPY,
            "Set a kitchen timer.\n\nIt rings once.",
            {
                "minutes": "How long, in minutes: whole ones.",
                "label": "What it is for.",
                "a": "Two of them.",
                "b": "Two of them.",
            },
            id="numpy",
        ),
        pytest.param(
            SPHINX,
            "Set a kitchen timer.\n\nIt rings once.",
            {"minutes": "How long, in minutes: whole ones.", "label": "What it is for."},
            id="sphinx",
        ),
        pytest.param("Args:\n    x: The one.", "", {"x": "The one."}, id="no description"),
        pytest.param("Do.\n\nReturns:\n    It.", "Do.", {}, id="no parameters"),
        pytest.param("Do.\n\nArgs:\n", "Do.", {}, id="empty section"),
        pytest.param("Like this: done.\nArguments are good.", "Like this: done.\nArguments are good.", {}, id="prose"),
    ],
)
def test_descriptions_and_parameters(text: str | None, description: str, parameters: dict[str, str]) -> None:
    assert parse_docstring(text) == (description, parameters)


@given(st.text() | st.text(alphabet="Args:\n param-= \tx*,()"))
def test_any_text_is_read(text: str) -> None:
    description, parameters = parse_docstring(text)

    assert isinstance(description, str)
    assert all(isinstance(name, str) and said for name, said in parameters.items())

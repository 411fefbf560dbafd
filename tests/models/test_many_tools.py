"""Two hundred tools: MiniLM finds the few that a question is about, and Needle calls the right one of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from limpet.hosts.onnx_session import OnnxBackend
from limpet.inference.tool_choice import describe_tool, pick_tools, rank_by_vectors
from limpet.messages import Message
from limpet.model import ModelReference, ModelRequest, ToolSpec
from limpet.providers import create_embeddings
from limpet.providers.local import LocalModel
from tests.fakes.host import make_host
from tests.inference.many_tools import hit_rate, one_required, read_many_tools, read_plain_questions

PAIRS = read_many_tools()
TOOLS = [tool for tool, _ in PAIRS]
BY_NAME = {tool.name: tool for tool in TOOLS}


async def find(folder: Path, questions: Sequence[str], most: int) -> list[tuple[ToolSpec, ...]]:
    host = make_host(inference=OnnxBackend(folder.parent, threads=1))
    model = create_embeddings(ModelReference.parse("local:minilm"), host)
    tools = await model.embed([describe_tool(tool) for tool in TOOLS])
    return [
        pick_tools(TOOLS, rank_by_vectors(question, tools), [], most)
        for question in await model.embed(questions, purpose="query")
    ]


async def test_tools_are_found_by_plain_words(minilm_folder: Path) -> None:
    pairs = read_plain_questions()

    found = await find(minilm_folder, [question for _, question in pairs], 5)

    # Measured: 70 of 70.
    assert hit_rate(found, [BY_NAME[name] for name, _ in pairs]) >= 0.98


async def test_tools_are_found_by_other_words(minilm_folder: Path) -> None:
    found = await find(minilm_folder, [question for _, question in PAIRS], 5)

    # Measured: 153 of 200, where words in common find 32.
    assert hit_rate(found, TOOLS) >= 0.74


async def test_needle_calls_one_of_two_hundred_tools(needle_folder: Path, minilm_folder: Path) -> None:
    assert needle_folder.parent == minilm_folder.parent
    model = LocalModel("needle", make_host(inference=OnnxBackend(needle_folder.parent, threads=1)))
    asked = {
        "Show me Robert's contact details": ("get_contact", '{"name":"Robert"}'),
        "What's the stock price of MSFT?": ("get_stock_price", '{"symbol":"MSFT"}'),
    }

    answers = {
        question: await model.answer(
            ModelRequest((Message.user(question),), tuple(one_required(tool) for tool in TOOLS)), lambda progress: None
        )
        for question in asked
    }

    assert {
        question: (answer.calls[0].tool.name, answer.calls[0].arguments_text) for question, answer in answers.items()
    } == asked
    assert [len(answer.tools) for answer in answers.values()] == [5, 5]
    assert min(answer.confidence for answer in answers.values()) > 0.4

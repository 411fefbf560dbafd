"""What is known of our models before they are loaded. `models/manifest.json` is the authority; a test compares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Task = Literal["tool_calling", "chat", "embedding", "assistant"]
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model by its id."""

    task: Task
    context_length: int
    """In tokens."""
    memory_bytes: int = 0
    """What it takes when it is loaded."""
    system: str = ""
    """What stands for the system's message where there is none: a model does worse without the words it was trained
    with."""


CATALOG = {
    "needle": KnownModel("tool_calling", 4096, 299_332_160),
    "tiny": KnownModel("tool_calling", 4096, 1 << 20),
    "minilm": KnownModel("embedding", 256, 114_449_526),
    "tiny-embedding": KnownModel("embedding", 64, 1 << 20),
    "tiny-chat": KnownModel("chat", 512, 1 << 20),
    "smollm2": KnownModel(
        "chat", 4096, 294_912_000, "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    ),
    # No model of its own: those that it asks are named by its options.
    "assistant": KnownModel("assistant", 4096),
}

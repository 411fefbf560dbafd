"""What is known of our models before they are loaded. `models/manifest.json` is the authority; a test compares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Task = Literal["tool_calling", "chat", "embedding"]
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model by its id."""

    task: Task
    context_length: int
    """In tokens."""
    system: str = ""
    """What stands for the system's message where there is none: a model does worse without the words it was trained
    with."""


CATALOG = {
    "needle": KnownModel("tool_calling", 4096),
    "tiny": KnownModel("tool_calling", 4096),
    "minilm": KnownModel("embedding", 256),
    "tiny-embedding": KnownModel("embedding", 64),
    "tiny-chat": KnownModel("chat", 512),
    "smollm2": KnownModel("chat", 4096, "You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
}

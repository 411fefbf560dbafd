"""The services that can answer: a table of their names, each that of the module which makes its models.

A module is imported when its provider is first asked for, so that a page pays only for what it uses. This is the one
place that imports late. A module has a `SERVICE` (`service.py`), or a `create(reference, host)` where a service takes
more than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from ..errors import ConfigurationError
from ..host import Host
from ..model import EmbeddingModel, Model, ModelReference

PROVIDERS = (
    "local",
    "openai",
    "openai_compatible",
    "ollama",
    "openrouter",
    "anthropic",
    "azure",
    "bedrock",
    "cerebras",
    "cohere",
    "dashscope",
    "deepseek",
    "fireworks",
    "gemini",
    "github",
    "groq",
    "huggingface",
    "hyperbolic",
    "jina",
    "llamacpp",
    "lmstudio",
    "minimax",
    "mistral",
    "moonshot",
    "nvidia",
    "perplexity",
    "sambanova",
    "together",
    "vertex",
    "vllm",
    "voyage",
    "workers_ai",
    "xai",
    "zai",
)

LOCAL_PARTS = {"assistant": {"calls": "needle", "words": "smollm2"}}
"""The local models that are made of others, with the options that name these, and their defaults."""


CALLS_NO_TOOLS = ("minilm", "smollm2", "tiny-chat", "tiny-embedding")
"""The local models known to be for something else, when no option `task` says what a model is for."""
ALL_TOOLS, TOOLS_BY = 8, "minilm"
"""Up to how many tools a local model that calls them sees all, and the model that chooses among more."""


def local_models(reference: ModelReference, tool_count: int = 0) -> tuple[str, ...]:
    """Give the names of the models that `local:name` loads: itself or its parts, and what chooses among many tools."""
    options = reference.options
    task = options.get("task", "" if reference.name in CALLS_NO_TOOLS else "tool_calling")
    parts = LOCAL_PARTS.get(reference.name if "task" not in options else str(task))
    names: list[object] = (
        [reference.name] if parts is None else [options.get(option, name) for option, name in parts.items()]
    )
    if parts is not None:
        given = options.get("calls_options")
        options = given if isinstance(given, Mapping) else {}
    most = options.get("all_tools", ALL_TOOLS)
    if (parts is not None or task == "tool_calling") and isinstance(most, int) and tool_count > most:
        names.append(options.get("tools_by", TOOLS_BY))
    return tuple(name for name in names if isinstance(name, str) and name)


def package_of(provider: str) -> str:
    """Give the distribution that holds a provider which the wheel of `limpet` leaves out, to stay small."""
    return "limpet-local" if provider == "local" else "limpet-providers"


def is_installed(reference: ModelReference) -> bool:
    """Whether all that a provider of the table needs for this model is there, without importing it."""
    needed = [f"{__name__}.{reference.provider}"]
    if reference.options.get("api") == "responses":
        needed.append(f"{__package__.rpartition('.')[0]}.protocols.responses")
    return all(find_spec(name) is not None for name in needed)


def create_model(reference: ModelReference | str, host: Host) -> Model:
    """Make the model that `reference` names. Raises `ConfigurationError` when it is set up wrongly."""
    if isinstance(reference, str):
        reference = ModelReference.parse(reference)
    module = import_provider(reference.provider)
    if hasattr(module, "create"):
        model: Model = module.create(reference, host)
    else:
        model = import_module(".remote", __name__).create_remote(module.SERVICE, reference, host)
    return model


def create_embeddings(reference: ModelReference | str, host: Host) -> EmbeddingModel:
    """Make the model that `reference` names, for embeddings. Raises `ConfigurationError` when it makes none.

    Await its `embed(texts, purpose=...)`.
    """
    model = create_model(reference, host)
    if not model.info.has_embeddings:
        raise ConfigurationError(f"{model.info.id} makes no embeddings: its provider has none")
    return model  # type: ignore[return-value]  # what has them has `embed`; tests look at each provider


def import_provider(provider: str) -> ModuleType:
    """Import the module of a provider. Raises `ConfigurationError` when there is none, or it is not installed."""
    if provider not in PROVIDERS:
        raise ConfigurationError(f"there is no provider {provider!r}; known are {', '.join(PROVIDERS)}")
    return import_late(f".{provider}", f"the provider {provider!r}", package_of(provider))


def import_late(module: str, what: str, package: str = "limpet-providers") -> ModuleType:
    """Import a module, named relatively to this one, that another package may hold; `what` is for the error's text."""
    try:
        return import_module(module, __name__)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("limpet."):
            raise
        extra = package.removeprefix("limpet-")
        raise ConfigurationError(f"{what} is in the package {package}: pip install limpet[{extra}]") from error

"""The services that can answer: a table from the name of a provider to the module that makes its models.

A module is imported when its provider is first asked for, so that a page pays only for what it uses. This is the one
place that imports late.
"""

from __future__ import annotations

from importlib import import_module

from ..errors import ConfigurationError
from ..host import Host
from ..model import EmbeddingModel, Model, ModelReference

PROVIDERS = {
    "local": "local",
    "openai": "openai",
    "openai_compatible": "openai_compatible",
    "ollama": "ollama",
    "openrouter": "openrouter",
    "azure": "azure",
    "anthropic": "anthropic",
    "gemini": "gemini",
    "vertex": "vertex",
    "bedrock": "bedrock",
    "cohere": "cohere",
    "workers_ai": "workers_ai",
    **dict.fromkeys(
        (
            *("mistral", "groq", "deepseek", "xai", "together", "fireworks", "perplexity", "cerebras", "nvidia"),
            *("huggingface", "github", "moonshot", "zai", "dashscope", "minimax", "sambanova", "hyperbolic"),
            *("lmstudio", "llamacpp", "vllm", "voyage", "jina"),
        ),
        "services",
    ),
}
"""Provider to module; each module has `create(reference, host) -> Model`."""


def create_model(reference: ModelReference, host: Host) -> Model:
    """Make the model that `reference` names. Raises `ConfigurationError` when it is set up wrongly."""
    module = PROVIDERS.get(reference.provider)
    if module is None:
        raise ConfigurationError(
            f"there is no provider {reference.provider!r} (in {reference.id!r}); known are {', '.join(PROVIDERS)}"
        )
    try:
        found = import_module(f".{module}", __name__)
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{module}":
            raise
        # The wheel of a release leaves providers out that are not released yet.
        raise ConfigurationError(f"the provider {reference.provider!r} is not in this release") from error
    model: Model = found.create(reference, host)
    return model


def create_embeddings(reference: ModelReference, host: Host) -> EmbeddingModel:
    """Make the model that `reference` names, for embeddings. Raises `ConfigurationError` when it makes none."""
    model = create_model(reference, host)
    if not model.info.has_embeddings:
        raise ConfigurationError(f"{reference.id} makes no embeddings: its provider has none")
    return model  # type: ignore[return-value]  # what has them has `embed`; tests look at each provider

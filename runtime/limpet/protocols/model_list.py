"""The names of a service's models, in every shape in which services list them."""

from __future__ import annotations

from .json_answer import as_list, as_object, as_text
from .wire_protocol import AnswerContext

# OpenAI and its imitators; Gemini, Cohere and Ollama; Cloudflare; Bedrock. Together and GitHub send a bare list.
_LISTS = ("data", "models", "result", "modelSummaries")


def read_model_list(answer: object, context: AnswerContext) -> list[str]:
    """Read the names, in the service's order. Raises `WireFormatError` when there is no list.

    >>> context = AnswerContext("gemini", "gemini-pro", str)
    >>> read_model_list({"models": [{"name": "models/gemini-pro"}]}, context)
    ['gemini-pro']
    """
    fields = as_object(answer)
    found = answer if isinstance(answer, list) else next((fields[name] for name in _LISTS if name in fields), None)
    if not isinstance(found, list):
        raise context.broken("sent JSON without a list of models in it")
    models = [as_object(model) for model in as_list(found)]
    # A Cloudflare model has an id that is not its name.
    is_named = "result" in fields
    names = [
        as_text(model.get("modelId") or (not is_named and model.get("id")) or model.get("name")) for model in models
    ]
    return [name.removeprefix("models/") for name in names if name]

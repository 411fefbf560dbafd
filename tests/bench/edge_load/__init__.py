"""A load of chat completions: our gateway on workerd beside LiteLLM's proxy, in front of the same fake provider."""

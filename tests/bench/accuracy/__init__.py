"""How often the local model is right: prompts, tools, and a runner (`python -m tests.bench.accuracy`)."""

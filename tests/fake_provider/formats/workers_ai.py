"""Cloudflare Workers AI: chat completions at an address of its own; complete answers stand in an envelope."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from ..answers import Answer, Question
from .chat_completions import ChatCompletions
from .format import dump


class WorkersAI(ChatCompletions):
    name = "workers_ai"
    headers = ("authorization",)

    def knows(self, path: str, body: Mapping[str, Any]) -> bool:
        return "/run/" in path and "messages" in body

    def read(self, path: str, body: Mapping[str, Any]) -> Question:
        return replace(super().read(path, body), model=unquote(path.partition("/run/")[2]))

    def complete(self, answer: Answer, question: Question) -> bytes:
        result = json.loads(super().complete(answer, question))
        return dump({"result": result, "success": True, "errors": [], "messages": []})

    def error(self, status: int, message: str) -> bytes:
        return dump({"result": None, "success": False, "errors": [{"code": 1000, "message": message}], "messages": []})

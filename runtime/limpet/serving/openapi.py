"""The OpenAPI document of what is served. `tests/serving` holds it to the routes, and sends what it describes."""

from __future__ import annotations

from ..wire import Json, JsonObject

_ID: JsonObject = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}$"}
_TEXT: JsonObject = {"type": "string"}
_FLAG: JsonObject = {"type": "boolean"}


def document(name: str) -> JsonObject:
    """Give the document of the agent `name`."""
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{name}, an agent", "version": "1"},
        "security": [{"bearer": []}, {}],
        "paths": {
            "/health": {"get": _open("Whether the process runs.", {"200": _json("It does.")})},
            "/ready": {
                "get": _open("Whether requests can be answered.", {"200": _json("Yes."), "503": _json("Not yet.")})
            },
            "/openapi.json": {"get": _open("This document.", {"200": _json("The document.")})},
            "/chat": {"post": _operation("Say something: the AI SDK's UI message stream.", _UI, _stream())},
            "/chat/{id}/stream": {
                "get": _get("The answer under way, from its beginning.", {**_stream(), "204": _EMPTY}, _PATH_ID)
            },
            "/agui": {"post": _operation("Say something: AG-UI's events.", _AGUI, _stream())},
            "/conversations/{id}": {
                "get": _get("The history.", {"200": _json("The conversation.")}, _PATH_ID),
                "delete": _get("Forget it.", {"204": _EMPTY}, _PATH_ID),
            },
            "/conversations/{id}/stream": {
                "get": _get("All events after one.", {**_stream(), "410": _json("Gone.")}, _PATH_ID, _AFTER)
            },
            "/conversations/{id}/cancel": {
                "post": _operation("Cancel the run.", _CANCEL, {"200": _json("Whether one went on.")}, _PATH_ID)
            },
            "/conversations/{id}/approve": {
                "post": _operation(
                    "Allow or refuse a call.",
                    _APPROVE,
                    {"200": _json("Noted."), "404": _json("None waits."), "409": _json("Answered otherwise.")},
                    _PATH_ID,
                )
            },
            "/v1/models": {"get": _get("The agent and the gateway's models.", {"200": _json("The models.")})},
            "/v1/chat/completions": {
                "post": _operation("OpenAI's chat completions.", _chat(name), {**_stream(), "404": _json("No model.")})
            },
            "/v1/embeddings": {
                "post": _operation(
                    "OpenAI's embeddings.", _EMBED, {"200": _json("The vectors."), "404": _json("No model.")}
                )
            },
            "/tokens": {"post": _operation("Make a session token.", _TOKEN, {"200": _json("The token.")})},
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _ERROR},
        },
    }


def _object(required: list[Json], **properties: Json) -> JsonObject:
    return {"type": "object", "required": required, "properties": properties}


def _list(items: JsonObject, least: int = 0) -> JsonObject:
    return {"type": "array", "items": items, "minItems": least}


def _json(text: str) -> JsonObject:
    return {"description": text, "content": {"application/json": {}}}


_EMPTY: JsonObject = {"description": "Nothing."}
_ERROR: JsonObject = _object(
    ["error"], error=_object(["message", "type", "code"], message=_TEXT, type=_TEXT, code=_TEXT)
)
_REFUSALS: JsonObject = {
    status: {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    for status, text in {
        "400": "The request is not what is described here.",
        "401": "No key, or a wrong one.",
        "403": "Not with this key or token, or not from this page.",
        "413": "Too large.",
        "429": "Too many requests, or a budget is used up.",
    }.items()
}


def _stream() -> JsonObject:
    return {
        "200": {"description": "Events.", "content": {"text/event-stream": {}, "application/json": {}}},
    }


_PATH_ID: JsonObject = {"name": "id", "in": "path", "required": True, "schema": _ID}
_AFTER: JsonObject = {
    "name": "after",
    "in": "query",
    "schema": {"type": "integer", "minimum": 0, "maximum": 999_999_999_999},
    "description": "The number of the last event that was seen.",
}


def _open(summary: str, responses: JsonObject) -> JsonObject:
    return {"summary": summary, "security": [], "responses": {**_REFUSALS, **responses}}


def _get(summary: str, responses: JsonObject, *parameters: JsonObject) -> JsonObject:
    return {"summary": summary, "parameters": list(parameters), "responses": {**_REFUSALS, **responses}}


def _operation(summary: str, body: JsonObject, responses: JsonObject, *parameters: JsonObject) -> JsonObject:
    content: JsonObject = {"required": True, "content": {"application/json": {"schema": body}}}
    return {**_get(summary, responses, *parameters), "requestBody": content}


_UI = _object(
    ["id", "messages"],
    id=_ID,
    messages=_list(
        _object(
            ["role", "parts"],
            id=_TEXT,
            role={"enum": ["user", "assistant", "system"]},
            parts=_list(_object(["type"], type={"enum": ["text", "file", "step-start"]}, text=_TEXT), 1),
        ),
        1,
    ),
    trigger={"enum": ["submit-message", "regenerate-message"]},
    messageId=_TEXT,
    background=_FLAG,
)
_AGUI = _object(
    ["threadId", "runId", "messages", "tools", "context"],
    threadId=_ID,
    runId=_ID,
    messages=_list(
        _object(
            ["id", "role", "content"],
            id=_TEXT,
            role={"enum": ["user", "assistant", "tool"]},
            content=_TEXT,
            toolCallId=_TEXT,
        ),
        1,
    ),
    tools=_list(_object(["name"], name=_TEXT, description=_TEXT, parameters={"type": "object"})),
    context=_list({"type": "object"}),
    state={},
    forwardedProps={},
)
_CANCEL = _object([], run_id=_ID)
_APPROVE = _object(["call_id", "approved"], call_id=_TEXT, approved=_FLAG)
_EMBED = _object(
    ["model", "input"],
    model=_TEXT,
    input={"anyOf": [_TEXT, _list(_TEXT, 1)]},
    encoding_format={"enum": ["float", "base64"]},
)
_TOKEN = _object(
    ["subject"],
    subject=_ID,
    expires_in={"type": "integer", "minimum": 1, "maximum": 604_800},
    conversation_id=_ID,
)


def _chat(name: str) -> JsonObject:
    function = _object(["name"], name=_TEXT, description=_TEXT, parameters={"type": "object"})
    return _object(
        ["model", "messages"],
        model={"type": "string", "examples": [name]},
        messages=_list(
            _object(
                ["role", "content"],
                role={"enum": ["system", "developer", "user", "assistant", "tool"]},
                content={"anyOf": [_TEXT, _list(_object(["type", "text"], type={"const": "text"}, text=_TEXT), 1)]},
            ),
            1,
        ),
        tools=_list(_object(["type", "function"], type={"const": "function"}, function=function)),
        tool_choice={"enum": ["auto", "none", "required"]},
        stream=_FLAG,
        stream_options=_object([], include_usage=_FLAG),
        max_tokens={"type": "integer", "minimum": 1, "maximum": 1_000_000},
        temperature={"type": "number", "minimum": 0, "maximum": 2},
    )

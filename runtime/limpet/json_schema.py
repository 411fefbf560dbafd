"""Rewriting JSON Schemas: joining, describing, and writing references out; and values by the schema they fit.

Small models read flat schemas best, and each word of a schema costs time in every prompt. So nothing is said that
doesn't change what may be written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

from .errors import ConfigurationError
from .wire import Json, JsonObject

Definitions = dict[str, JsonObject]
"""Schemas of named types, under which a `$ref` finds them."""


def described(schema: JsonObject, text: str) -> JsonObject:
    """Put a description before what the schema says of itself, such as the names of an enum's numbers."""
    return {**schema, "description": f"{text} {schema.get('description', '')}".strip()}


def merged(schemas: Sequence[JsonObject]) -> JsonObject:
    """Join the schemas of a union: as a list of type names where that says the same, else as `anyOf`."""
    unique = [schema for index, schema in enumerate(schemas) if schema not in schemas[:index]]
    if {} in unique:
        return {}
    if {"type": "number"} in unique and {"type": "integer"} in unique:
        unique.remove({"type": "integer"})
    if len(unique) == 1:
        return unique[0]
    plain = [schema for schema in unique if set(schema) == {"type"}]
    others = [schema for schema in unique if set(schema) != {"type"}]
    # Keywords such as `minimum` or `items` speak of one type only; `enum` speaks of all, so null must join it.
    is_simple = not others or (len(others) == 1 and isinstance(others[0].get("type"), str))
    if is_simple and (not others or "enum" not in others[0] or plain == [{"type": "null"}]):
        first = others[0] if others else {}
        names: list[Json] = [schema["type"] for schema in unique]
        if len(names) == len({str(name) for name in names}):
            result: JsonObject = {**first, "type": names}
            if isinstance(choices := first.get("enum"), list):
                result["enum"] = [*choices, None]
            return {"type": result.pop("type"), **result}
    return {"anyOf": list[Json](unique)}


def without_null(schema: JsonObject) -> JsonObject:
    """Take null out of a union's schema."""
    kinds = schema.get("type")
    if isinstance(kinds, list) and "null" in kinds:
        rest = [kind for kind in kinds if kind != "null"]
        schema = {**schema, "type": rest[0] if len(rest) == 1 else rest}
        if isinstance(choices := schema.get("enum"), list):
            schema["enum"] = [choice for choice in choices if choice is not None]
    members = schema.get("anyOf")
    if isinstance(members, list) and {"type": "null"} in members:
        left = [member for member in members if member != {"type": "null"}]
        rest_of = {key: value for key, value in schema.items() if key != "anyOf"}
        if len(left) == 1 and isinstance(left[0], dict):
            return {**left[0], **rest_of}
        return {**rest_of, "anyOf": left}
    return schema


def untitled(schema: JsonObject) -> JsonObject:
    """Copy a schema without the titles, which only repeat the names."""

    def copy(node: Json) -> Json:
        if isinstance(node, list):
            return [copy(item) for item in node]
        if not isinstance(node, dict):
            return node
        return {
            key: item if key in ("default", "enum", "const", "examples") else copy(item)
            for key, item in node.items()
            if not (key == "title" and isinstance(item, str))
        }

    return cast(JsonObject, copy(schema))


def adopt(schema: JsonObject, definitions: Definitions) -> None:
    """Move a schema's own `$defs` to those of the whole. Raises `ConfigurationError` for two types of one name."""
    own = schema.pop("$defs", None)
    for name, definition in own.items() if isinstance(own, dict) else ():
        if definitions.setdefault(name, cast(JsonObject, definition)) != definition:
            raise same_name(name)


def same_name(name: str) -> ConfigurationError:
    """Make the error for two types of one name."""
    return ConfigurationError(f"two different types are called {name!r}; rename one")


def flattened(schema: JsonObject, known: Definitions) -> JsonObject:
    """Write every `$ref` out where it stands, but for types that contain themselves, which stay in `$defs`."""
    refers = {name: set(_references(definition)) for name, definition in known.items()}
    recursive = {name for name in known if name in _reachable(name, refers)}

    def inline(node: Json) -> Json:
        if isinstance(node, list):
            return [inline(item) for item in node]
        if not isinstance(node, dict):
            return node
        rest: JsonObject = {key: inline(item) for key, item in node.items() if key != "$ref"}
        name = _target(node)
        if name is None:
            return rest
        if name in recursive or name not in known:
            return {"$ref": node["$ref"], **rest}
        return {**cast(JsonObject, inline(known[name])), **rest}

    result = cast(JsonObject, inline(schema))
    if (name := _target(result)) in recursive and name is not None:
        # The outermost schema is an object that can be seen to be one.
        result = {**cast(JsonObject, inline(known[name])), **{k: v for k, v in result.items() if k != "$ref"}}
    kept = set(_references(result))
    kept |= {other for name in kept for other in _reachable(name, refers) if other in recursive}
    if kept:
        result["$defs"] = {name: inline(known[name]) for name in sorted(kept)}
    return result


def _target(node: JsonObject) -> str | None:
    reference = node.get("$ref")
    return reference.removeprefix("#/$defs/") if isinstance(reference, str) else None


def _references(node: Json) -> Iterable[str]:
    if isinstance(node, dict):
        if (name := _target(node)) is not None:
            yield name
        for item in node.values():
            yield from _references(item)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def _reachable(start: str, refers: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = list(refers.get(start, ()))
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(refers.get(name, ()))
    return found


def joined(schema: JsonObject) -> JsonObject:
    """Copy a schema with its `allOf` written out: what the members say is said of the whole."""
    result: JsonObject = {}
    own = {name: value for name, value in schema.items() if name != "allOf"}
    for member in (*(joined(as_schema(member)) for member in as_items(schema.get("allOf"))), own):
        for name, value in member.items():
            known = result.get(name)
            if name == "properties" and isinstance(known, dict) and isinstance(value, dict):
                result[name] = {**known, **value}
            elif name == "required" and isinstance(known, list) and isinstance(value, list):
                result[name] = [*known, *(item for item in value if item not in known)]
            else:
                result[name] = value
    return result


def is_closable(schema: JsonObject) -> bool:
    """Whether a schema names all there may be: no free dict, no value of any type, no type that contains itself.

    >>> is_closable({"type": "array", "items": {"type": "object"}})
    False
    """
    schema = joined(schema)
    if "$ref" in schema or not set(schema) & {"type", "enum", "const", "anyOf", "oneOf"}:
        return False
    kind = schema.get("type")
    if _is_of(kind, "object") and not (schema.get("properties") and not schema.get("additionalProperties")):
        return False
    if _is_of(kind, "array") and not {"items", "prefixItems"} & set(schema):
        return False
    return all(map(is_closable, _inner_schemas(schema)))


def _inner_schemas(schema: JsonObject) -> Iterator[JsonObject]:
    yield from map(as_schema, as_schema(schema.get("properties")).values())
    for name in ("anyOf", "oneOf", "prefixItems"):
        yield from map(as_schema, as_items(schema.get(name)))
    # Behind the items of a tuple `false` may stand.
    if "items" in schema and schema["items"] is not False:
        yield as_schema(schema["items"])


def without_absent(value: Json, schema: JsonObject) -> Json:
    """Take out the nulls of properties that may be left out and can't be null: so strict services leave them out.

    >>> without_absent({"n": None}, {"type": "object", "properties": {"n": {"type": "integer"}}})
    {}
    """
    return _present(value, schema, as_schema(schema.get("$defs")))


def _present(value: Json, schema: JsonObject, definitions: JsonObject) -> Json:
    schema = _resolved(schema, definitions)
    if isinstance(value, list):
        places = as_items(schema.get("prefixItems"))
        rest = as_schema(schema.get("items"))
        schemas = [as_schema(places[index]) if index < len(places) else rest for index in range(len(value))]
        return [_present(item, inner, definitions) for item, inner in zip(value, schemas, strict=True)]
    if not isinstance(value, dict):
        return value
    members = [_resolved(member, definitions) for member in _members(schema)]
    fitting = [member for member in members if set(value) <= set(as_schema(member.get("properties")))]
    schema = fitting[0] if len(fitting) == 1 else schema
    properties, required = as_schema(schema.get("properties")), as_items(schema.get("required"))
    other = as_schema(schema.get("additionalProperties"))
    return {
        name: _present(item, as_schema(properties.get(name, other)), definitions)
        for name, item in value.items()
        if item is not None
        or name not in properties
        or name in required
        or _takes_null(as_schema(properties[name]), definitions)
    }


def _takes_null(schema: JsonObject, definitions: JsonObject) -> bool:
    schema = _resolved(schema, definitions)
    members = _members(schema)
    if members:
        return any(_takes_null(member, definitions) for member in members)
    if "enum" in schema or "const" in schema:
        return None in as_items(schema.get("enum", [schema.get("const")]))
    return "type" not in schema or _is_of(schema["type"], "null")


def _members(schema: JsonObject) -> list[JsonObject]:
    return [as_schema(member) for name in ("anyOf", "oneOf") for member in as_items(schema.get(name))]


def _resolved(schema: JsonObject, definitions: JsonObject) -> JsonObject:
    name = _target(schema)
    return schema if name is None else as_schema(definitions.get(name))


def _is_of(kind: Json, name: str) -> bool:
    return name in kind if isinstance(kind, list) else kind == name


def as_schema(value: Json) -> JsonObject:
    """Give an object as it is, anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def as_items(value: Json) -> list[Json]:
    """Give a list as it is, anything else as an empty one."""
    return value if isinstance(value, list) else []

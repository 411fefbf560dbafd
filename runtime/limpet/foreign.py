"""Types that bring their own JSON Schema: Pydantic's models and dataclasses, msgspec's structs.

Neither library is imported here. Pydantic is known by its methods; msgspec, whose functions are needed, is taken from
`sys.modules`: where one of its types is used it has been imported already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from .json_schema import untitled
from .shapes import Foreign, Reader


def is_struct(cls: type) -> bool:
    """Whether a class is one of msgspec's."""
    library = sys.modules.get("msgspec")
    return library is not None and issubclass(cls, library.Struct)


def foreign_shape(cls: type) -> Foreign | None:
    """Give the shape of a class that brings its own schema, None for any other."""
    if hasattr(cls, "model_json_schema") and hasattr(cls, "model_validate"):
        return Foreign(lambda: untitled(cls.model_json_schema()), _pydantic_reader(cls.model_validate))
    if "__pydantic_core_schema__" in vars(cls) and "pydantic" in sys.modules:  # a Pydantic dataclass
        adapter = sys.modules["pydantic"].TypeAdapter(cls)
        return Foreign(lambda: untitled(adapter.json_schema()), _pydantic_reader(adapter.validate_python))
    if is_struct(cls):
        return Foreign(lambda: untitled(sys.modules["msgspec"].json.schema(cls)), _struct_reader(cls))
    return None


def _pydantic_reader(validate: Callable[[object], object]) -> Callable[[object, str, Reader], object]:
    def read(value: object, path: str, reader: Reader) -> object:
        try:
            return validate(value)
        except ValueError as error:  # its ValidationError is one; `errors()` lists {loc, msg, ...}
            errors = getattr(error, "errors", None)
            for found in errors() if callable(errors) else [{"loc": (), "msg": "isn't valid"}]:
                reader.note(".".join([path, *map(str, found["loc"])]).strip("."), f"is wrong: {found['msg']}")
            return None

    return read


def _struct_reader(cls: type) -> Callable[[object, str, Reader], object]:
    def read(value: object, path: str, reader: Reader) -> object:
        library = sys.modules["msgspec"]
        try:
            return library.convert(value, cls, strict=reader.is_exact)
        except library.ValidationError as error:  # "Expected `int`, got `str` - at `$.minutes`"
            problem, _, place = str(error).partition(" - at ")
            reader.note(path + place.strip("`$") if path else place.strip("`$."), f"is wrong: {problem}")
            return None

    return read

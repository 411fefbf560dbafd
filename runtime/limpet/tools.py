"""Tools: functions that a model may call.

The signature and the docstring are all that a tool needs; both are looked at once, when it is made, so that what can't
work is refused before anything runs. A `Tool` holds no state between calls.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import sys
import types
import typing
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from .docstrings import parse_docstring
from .errors import ConfigurationError, ToolArgumentsError, ToolError
from .host import ToolPool
from .loose_json import parse_object
from .model import ToolSpec
from .schema import ShapeMaker, encode, list_problems, render
from .shapes import Reader, Record, RecordField
from .wire import Json, JsonObject

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
T = TypeVar("T")
Report = Callable[[Json], None]


class Tool(Generic[P, R]):
    """A function that a model may call, and how it is called. Its attributes are not changed once it is made.

    Calling the tool itself calls the function, unchanged. `requires_approval` has the user asked before each call;
    `is_idempotent` says that a run which is continued elsewhere may call it once more for the same call. With `pool` it
    is called in an interpreter of the host's pool, which loads the tool's file anew, so that everything else goes on
    while it computes; there `timeout_seconds` and a Stop end any function.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        timeout_seconds: float | None = None,
        retries: int = 0,
        requires_approval: bool = False,
        is_idempotent: bool = True,
        pool: bool = False,
        namespace: Callable[[], Mapping[str, object]] = dict,
    ) -> None:
        self.function = function
        self.timeout_seconds = timeout_seconds
        self.retries = retries
        self.requires_approval = requires_approval
        self.is_idempotent = is_idempotent
        self.pool = pool
        name = _checked_name(name or getattr(function, "__name__", None), function)
        text, texts = parse_docstring(inspect.getdoc(target_of(function)))
        self._record = Record(dict, _fields(function, name, texts, namespace))
        self.spec = ToolSpec(name, text if description is None else description, render(self._record))
        self._check_settings()
        self.__wrapped__ = function
        self.__name__ = name
        self.__doc__ = function.__doc__

    @property
    def name(self) -> str:
        """The name by which the model calls it."""
        return self.spec.name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"

    def parse(self, arguments_text: str | None) -> dict[str, object]:
        """Read a call's arguments as the model wrote them and give them the types of the signature.

        Defaults are left to the function. Raises `ToolArgumentsError`, whose text lists every problem for the model.
        """
        arguments = self._unwrapped(parse_object(arguments_text))
        reader = Reader()
        values = self._record.read(arguments, "", reader)
        if reader.problems:
            heading = f"{self.name} was not called, its arguments don't fit"
            raise ToolArgumentsError(list_problems(heading, reader.problems) + "\nCorrect them and call it again.")
        return cast(dict[str, object], values)

    async def call(self, arguments: Mapping[str, object], on_progress: Report, pool: ToolPool | None = None) -> Json:
        """Call the function with arguments from `parse` and give its result as JSON.

        Of an async generator the last value is the result; the others go to `on_progress` as soon as it waits or
        yields again. A failure, also running out of time, is tried again at once, `retries` times; a `ToolError` is
        not, since it is an answer. `timeout_seconds` is for each attempt. One that wants a `pool` is called in it.

        Raises `ToolError` when the time is over or the result can't be written as JSON, and whatever the function
        raises.
        """
        if self.pool and pool is None:
            warnings.warn(
                f"this host has no pool: {self.name} is called here, and nothing else goes on until it is done",
                RuntimeWarning,
                stacklevel=2,
            )
        for retries_left in range(self.retries, -1, -1):
            limit = asyncio.timeout(self.timeout_seconds)
            try:
                async with limit:
                    if pool is None or not self.pool:
                        return await self.call_here(arguments, on_progress)
                    given = cast(JsonObject, encode(dict(arguments)))
                    return await pool.call(target_of(self.function), self.name, given, on_progress)
            except ToolError:
                raise
            except Exception as error:
                # Whatever a tool raises may be a passing trouble. What remains after the last attempt is the loop's.
                if retries_left:
                    continue
                if isinstance(error, TimeoutError) and limit.expired():
                    raise ToolError(f"{self.name} did not finish within {self.timeout_seconds:g} seconds") from error
                raise
        raise AssertionError("the last attempt returns or raises")

    async def call_here(self, arguments: Mapping[str, object], on_progress: Report) -> Json:
        """Call the function once, in this interpreter and without a limit of time."""
        result: object = cast(Callable[..., object], self.function)(**arguments)
        if isinstance(result, AsyncGenerator):
            result = await self._drain(result, on_progress)
        elif inspect.isawaitable(result):
            result = await result
        return self._to_json(result)

    async def _drain(self, generator: AsyncGenerator[object, None], on_progress: Report) -> object:
        newest: list[object] = []

        def flush() -> None:
            if newest:
                on_progress(self._to_json(newest.pop()))

        result: object = None
        async with aclosing(generator):
            while True:
                try:
                    result = await _Watched(anext(generator), flush)
                except StopAsyncIteration:
                    return result
                flush()
                newest.append(result)

    def _to_json(self, value: object) -> Json:
        try:
            return encode(value)
        except TypeError as error:
            raise ToolError(f"{self.name} ran, but its result can't be told: {error}") from error

    def _unwrapped(self, arguments: JsonObject) -> JsonObject:
        """Take the arguments out of a whole call, which some models write in their place."""
        for key in ("arguments", "parameters"):
            inner = arguments.get(key)
            is_call = set(arguments) == {"name", key} and arguments["name"] == self.name
            if is_call and isinstance(inner, dict) and not self._record.fields.keys() & {"name", key}:
                return inner
        return arguments

    def _check_settings(self) -> None:
        function = target_of(self.function)
        if inspect.isgeneratorfunction(function):
            raise ConfigurationError(f"the tool {self.name} is a generator; make it an async generator (async def)")
        if self.timeout_seconds is not None:
            if not self.timeout_seconds > 0:
                raise ConfigurationError(
                    f"the tool {self.name}: timeout_seconds={self.timeout_seconds!r} is not above 0"
                )
            waits = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
            if not (waits or self.pool):
                raise ConfigurationError(
                    f"the tool {self.name}: timeout_seconds can't stop a function that never waits; make it async, or "
                    "have it called elsewhere with pool=True"
                )
        if self.retries < 0 or (self.retries and not self.is_idempotent):
            raise ConfigurationError(
                f"the tool {self.name}: retries={self.retries!r} must be 0 or more, and 0 with is_idempotent=False"
            )


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_seconds: float | None = None,
    retries: int = 0,
    requires_approval: bool = False,
    is_idempotent: bool = True,
    pool: bool = False,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_seconds: float | None = None,
    retries: int = 0,
    requires_approval: bool = False,
    is_idempotent: bool = True,
    pool: bool = False,
) -> Tool[P, R] | Callable[[Callable[P, R]], Tool[P, R]]:
    """Make a `Tool` of a function: sync, async, or an async generator that reports progress.

    Raises `ConfigurationError`, naming the function and the parameter, for a type that JSON Schema can't express.

    >>> @tool
    ... def set_timer(minutes: int, label: str = "") -> str:
    ...     '''Set a kitchen timer.'''
    ...     return f"timer set for {minutes} minutes"
    >>> set_timer.spec.parameters["required"]
    ['minutes']
    >>> set_timer.parse('{"minutes": "10"}')
    {'minutes': 10}
    """
    # Names of a function's own classes are only known while it runs; they are looked up when all else fails.
    frame = sys._getframe(1)

    def make(function: Callable[P, R]) -> Tool[P, R]:
        return Tool(
            function,
            name=name,
            description=description,
            timeout_seconds=timeout_seconds,
            retries=retries,
            requires_approval=requires_approval,
            is_idempotent=is_idempotent,
            pool=pool,
            namespace=lambda: frame.f_locals,
        )

    return make if function is None else make(function)


def target_of(function: Callable[..., object]) -> Callable[..., object]:
    """Give the function that was written: without `partial`, wrappers, binding, or the object it is the call of."""
    while isinstance(function, partial):
        function = function.func
    function = inspect.unwrap(function)
    if not (inspect.isroutine(function) or isinstance(function, type)):
        return type(function).__call__
    return function


def _checked_name(name: object, function: object) -> str:
    # What OpenAI and those who copy it accept; others accept more.
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise ConfigurationError(
            f"the tool name {name!r} (of {function!r}) must be 1 to 64 letters, digits, _ or -; give one with name="
        )
    return name


def _fields(
    function: Callable[..., object],
    name: str,
    texts: Mapping[str, str],
    namespace: Callable[[], Mapping[str, object]],
) -> list[RecordField]:
    parameters = _parameters(function, name)
    hints, names = _hints(function, name, parameters, namespace)
    maker = ShapeMaker(names)
    fields = []
    for parameter in parameters:
        where = f"{name}({parameter.name}): "
        default = parameter.default
        is_required = default is inspect.Parameter.empty
        try:
            encoded = None if is_required else encode(default)
        except TypeError as error:
            raise ConfigurationError(f"{where}the default: {error}") from None
        fields.append(
            RecordField(
                parameter.name,
                maker.shape_of(hints[parameter.name], where),
                is_required=is_required,
                default=encoded,
                description=texts.get(parameter.name, ""),
            )
        )
    return fields


def _parameters(function: Callable[..., object], name: str) -> list[inspect.Parameter]:
    try:
        signature = inspect.signature(function)
    except NameError:
        # From Python 3.14 on annotations are evaluated here; what they name is looked for in `_hints`.
        signature = _lazy("signature", function)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{name}: {function!r} has no signature that can be read") from None
    parameters = list(signature.parameters.values())
    for parameter in parameters:
        where = f"{name}({parameter.name})"
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigurationError(f"{where}: a tool can't have *{parameter.name}; use a list or a dict")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ConfigurationError(f"{where}: a tool's parameters are given by name; this one is positional only")
        if parameter.annotation is inspect.Parameter.empty:
            advice = "; make the tool of a bound method: tool(object.method)" if parameter.name == "self" else ""
            raise ConfigurationError(f"{where}: has no type annotation{advice}")
    return parameters


def _hints(
    function: Callable[..., object],
    name: str,
    parameters: list[inspect.Parameter],
    namespace: Callable[[], Mapping[str, object]],
) -> tuple[dict[str, object], Mapping[str, object]]:
    """Resolve the annotations. Also gives the names that were visible, for those inside classes."""
    target = target_of(function)
    names: dict[str, object] = getattr(target, "__globals__", {})
    try:
        annotations = getattr(target, "__annotations__", {})
    except NameError:
        annotations = _lazy("get_annotations", target)
    # What a tool returns may be annotated with names that exist for type checkers only.
    wanted = {parameter.name: annotations[parameter.name] for parameter in parameters}
    if not any(isinstance(annotation, type) is False for annotation in wanted.values()):
        return wanted, names
    holder = types.SimpleNamespace(__annotations__=wanted)
    try:
        return typing.get_type_hints(holder, globalns=names, include_extras=True), names
    except NameError:
        # `type X = ...` and classes inside a function.
        names = {**names, **namespace()}
    hints: dict[str, object] = {}
    for parameter, annotation in wanted.items():
        holder.__annotations__ = {parameter: annotation}
        try:
            hints |= typing.get_type_hints(holder, globalns=names, include_extras=True)
        except NameError as error:
            raise ConfigurationError(f"{name}({parameter}): the type {annotation!r} is unknown here: {error}") from None
    return hints, names


def _lazy(what: str, function: Callable[..., object]) -> Any:
    if sys.version_info < (3, 14):
        raise AssertionError("annotations are evaluated when they are written")
    import annotationlib  # type: ignore[import-not-found,unused-ignore]  # new in 3.14

    options = {"annotation_format" if what == "signature" else "format": annotationlib.Format.FORWARDREF}
    return getattr(inspect if what == "signature" else annotationlib, what)(function, **options)


class _Watched(Generator[Any, Any, T]):
    """Awaits something and calls `flush` when it first waits: then the value before it was not the last one."""

    def __init__(self, inner: Awaitable[T], flush: Callable[[], None]) -> None:
        self._steps = inner.__await__()
        self._flush = flush

    def __await__(self) -> Generator[Any, Any, T]:
        return self

    def send(self, value: Any) -> Any:
        waited_for = self._steps.send(value)
        self._flush()
        return waited_for

    def throw(self, *error: Any) -> Any:
        waited_for = self._steps.throw(*error)
        self._flush()
        return waited_for

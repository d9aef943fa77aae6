"""What callers may pass in: base models, field types, and checks of plain arguments. All run before any I/O."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, cast
from uuid import UUID

import pydantic
from pydantic import AfterValidator, AwareDatetime, Field, ValidatorFunctionWrapHandler

from agentmem_store.errors import Problem, ValidationError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

__all__ = [
    "MAX_LIMIT",
    "TEXT_LENGTH",
    "Changes",
    "Input",
    "JsonList",
    "JsonObject",
    "Label",
    "Name",
    "ShortName",
    "Text",
    "Time",
    "check_count",
    "check_distinct",
    "check_limit",
    "check_text",
    "check_uuid",
    "check_uuids",
    "json_or_none",
    "json_text",
    "uuid_array",
]

TEXT_LENGTH: Final = 10_000_000
MAX_LIMIT: Final = 1_000
_JSON_DEPTH: Final = 100
# Made once: json.dumps makes one for each call that is not of its default form, which takes longer than encoding.
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class Input(pydantic.BaseModel):
    """The base of everything a caller fills in. Bad input raises `ValidationError`, which never shows a value."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", defer_build=True, hide_input_in_errors=True)

    @pydantic.model_validator(mode="wrap")
    @classmethod
    def _raise_ours(cls, data: Any, handler: ValidatorFunctionWrapHandler) -> Self:
        try:
            made: Self = handler(data)
        except pydantic.ValidationError as error:
            raise _translate(error) from None
        return made


class Changes(Input):
    """The base of partial updates: what was set on it is written, None as NULL; what was left out stays."""

    def patch(self) -> str:
        """Return what was set, as the JSON object that the UPDATE statement reads."""
        return json_text(self.model_dump(include=self.model_fields_set, mode="json"))


def _translate(error: pydantic.ValidationError) -> ValidationError:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return ValidationError([Problem(None, ".".join(map(str, e["loc"])) or "input", _reason(e)) for e in found])


def _reason(found: Mapping[str, Any]) -> str:
    return str(found["msg"]).removeprefix("Value error, ")


def _no_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("contains a NUL character, which PostgreSQL cannot store; remove it")
    return value


def _in_database_range(value: datetime) -> datetime:
    # At the edges a conversion to UTC leaves datetime's own range, and PostgreSQL reads the last year as infinity.
    if not 1 < value.year < 9999:  # noqa: PLR2004
        raise ValueError("is outside the years 2 to 9998")
    return value.astimezone(UTC)


def _check_json(value: Any) -> Any:
    problem = _json_problem(value, "", 0)
    if problem:
        raise ValueError(problem)
    return value


def _json_problem(value: Any, path: str, depth: int) -> str | None:
    """Say what PostgreSQL's jsonb could not hold in a value, and where; None when it can be stored."""
    if depth > _JSON_DEPTH:
        return f"nests deeper than {_JSON_DEPTH} levels"
    if value is None or isinstance(value, bool | int):
        return None
    if isinstance(value, str):
        return _string_problem(value, path)
    if isinstance(value, float):
        return None if math.isfinite(value) else f"holds a number that is not finite{_at(path)}"
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value)
        return next(filter(None, (_pair_problem(k, v, path, depth) for k, v in pairs.items())), None)
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        parts = (_json_problem(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(items))
        return next(filter(None, parts), None)
    return f"holds a {type(value).__name__}, which JSON has no form for{_at(path)}"


def _pair_problem(key: Any, value: Any, path: str, depth: int) -> str | None:
    if not isinstance(key, str):
        return f"has a key that is not a string{_at(path)}"
    if problem := _string_problem(key, path):
        return f"has a key that {problem}"
    return _json_problem(value, f"{path}.{key}" if path else key, depth + 1)


def _string_problem(value: str, path: str) -> str | None:
    if "\x00" in value:
        return f"contains a NUL character{_at(path)}"
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        return f"contains half of a surrogate pair{_at(path)}"
    return None


def _at(path: str) -> str:
    # A key is the caller's data: deep paths are told by their depth, never by their text.
    return f" at depth {path.count('.') + path.count('[') + 1}" if path else ""


Text = Annotated[str, Field(max_length=TEXT_LENGTH), AfterValidator(_no_nul)]
Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_no_nul)]
ShortName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_no_nul)]
Label = Annotated[str, Field(min_length=1, max_length=50), AfterValidator(_no_nul)]
Time = Annotated[AwareDatetime, AfterValidator(_in_database_range)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_check_json)]
JsonList = Annotated[list[Any], AfterValidator(_check_json)]


def json_text(value: Any) -> str:
    """Write a value that was checked as the JSON text that statements cast to jsonb."""
    return _ENCODER.encode(value)


def json_or_none(value: Any) -> str | None:
    """Write a value as JSON text, and None as None, which becomes NULL."""
    return None if value is None else json_text(value)


def uuid_array(values: Iterable[UUID]) -> str:
    """Write UUIDs as PostgreSQL's array text, for a column of arrays within a batch."""
    return "{" + ",".join(map(str, values)) + "}"


def check_limit(value: object, field: str = "limit", *, most: int = MAX_LIMIT) -> int:
    """Return a row limit of 1 to `most`.

    Raises:
        ValidationError: it is not a whole number in that range.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValidationError.of(field, f"must be a whole number from 1 to {most}")
    return value


def check_count(value: object, field: str, *, least: int = 0, most: int = 2**63 - 1) -> int:
    """Return a whole number from `least` to `most`, by default what a bigint can hold.

    Raises:
        ValidationError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValidationError.of(field, f"must be a whole number from {least} to {most}")
    return value


def check_text(value: object, field: str, *, most: int = TEXT_LENGTH) -> str:
    """Return a text that the database can take.

    Raises:
        ValidationError: it is not a string, is longer than `most` characters, holds NUL or half a surrogate pair.
    """
    if not isinstance(value, str):
        raise ValidationError.of(field, "must be a string")
    if len(value) > most:
        raise ValidationError.of(field, f"is longer than {most} characters")
    if problem := _string_problem(value, ""):
        raise ValidationError.of(field, problem)
    return value


def check_uuid(value: object, field: str) -> UUID:
    """Return a UUID.

    Raises:
        ValidationError: it is something else.
    """
    if not isinstance(value, UUID):
        raise ValidationError.of(field, "must be a uuid.UUID")
    return value


def check_distinct(values: Iterable[Hashable], field: str = "id") -> None:
    """Check that a batch gives each value of a field once.

    Raises:
        ValidationError: a value is given twice; the problem names the second item.
    """
    seen: set[Hashable] = set()
    for item, value in enumerate(values):
        if value in seen:
            raise ValidationError.of(field, "is given to two items of the batch", item=item)
        seen.add(value)


def check_uuids(values: Iterable[object], field: str) -> list[UUID]:
    """Return the UUIDs as a list, in their order.

    Raises:
        ValidationError: one of them is something else; the problem names its place.
    """
    found = list(values)
    uuids = [value for value in found if isinstance(value, UUID)]
    if len(uuids) < len(found):
        wrong = (item for item, value in enumerate(found) if not isinstance(value, UUID))
        raise ValidationError([Problem(item, field, "must be a uuid.UUID") for item in wrong])
    return uuids

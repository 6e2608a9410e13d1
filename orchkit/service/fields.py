"""What fields of requests and answers hold: names, texts, moments, and what a request may have at all."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

__all__ = [
    "By",
    "Given",
    "JsonObject",
    "Moment",
    "Name",
    "PathName",
    "Roles",
    "RunId",
    "Scalar",
    "Span",
    "Text",
    "Told",
]

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _written(value: object) -> object:
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        message = "a moment is written with its offset, such as 2027-01-31T09:00:00+01:00"
        raise ValueError(message)
    return value


# A name in a request: printable, so that it reads well in logs and tables.
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f\\]+$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2_000, pattern=r"^[^\x00]+$")]
RunId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
# Durations as in the rest of orchkit: 90s, 5 min, 2 hours.
Span = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,6} ?(s|min|h|d|seconds|minutes|hours|days)$")]
# A moment is written out: numbers are not taken for seconds.
Moment = Annotated[AwareDatetime, BeforeValidator(_written)]
By = Annotated[Name | None, Field(description="Who has decided it; the token's name if nobody is named.")]
Roles = Annotated[
    list[Name] | None,
    Field(
        max_length=100,
        description="The roles of that person. If they are given, an item that is for another role is refused.",
    ),
]
# The same in a path, where a slash parts.
PathName = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f\\/]+$")]
JsonObject = dict[str, Any]
Scalar = str | int | float | bool | None


class Given(BaseModel):
    """What a request holds: nothing else than what is named."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Told(BaseModel):
    """What an answer holds."""

    model_config = ConfigDict(frozen=True)

"""Inputs of a run, checked against the JSON Schema of the workflow."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from orchkit.errors import InputError, nearest
from orchkit.model.definition import Workflow

if TYPE_CHECKING:
    import jsonschema

__all__ = ["checked_inputs"]


@lru_cache(maxsize=256)
def _validators(workflow: Workflow) -> dict[str, jsonschema.Draft202012Validator]:
    import jsonschema  # noqa: PLC0415 -- heavy: its checkers of formats build grammars

    return {
        name: jsonschema.Draft202012Validator(schema if isinstance(schema, bool) else dict(schema or {}))
        for name, schema in workflow.inputs.items()
    }


def checked_inputs(workflow: Workflow, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs, with defaults filled in.

    Raises
    ------
    InputError
        An input is missing, unknown or of the wrong form. A workflow that declares none takes any.
    """
    values = dict(inputs)
    if not workflow.inputs:
        return values
    for name in values:
        if name not in workflow.inputs:
            known = ", ".join(workflow.inputs)
            message = (
                f"Workflow {workflow.name!r} has no input {name!r}.{nearest(name, workflow.inputs)} Inputs: {known}."
            )
            raise InputError(message)
    for name, schema in workflow.inputs.items():
        if name not in values:
            if not isinstance(schema, Mapping) or "default" not in schema:
                message = f"Workflow {workflow.name!r} requires the input {name!r}."
                raise InputError(message)
            values[name] = schema["default"]
    validators = _validators(workflow)
    from jsonschema.exceptions import best_match  # noqa: PLC0415 -- as above

    for name, validator in validators.items():
        error = best_match(validator.iter_errors(values[name]))
        if error is not None:
            where = "".join(f".{part}" if isinstance(part, str) else f"[{part}]" for part in error.absolute_path)
            message = f"Input {name}{where}: {error.message}"
            raise InputError(message)
    return values

"""AI tasks: one chat completion from any endpoint that speaks OpenAI's protocol."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from orchkit.errors import PermanentError, TransientError
from orchkit.executors.base import Attempt, settings_problem
from orchkit.executors.http import BrokenAnswer, HttpExecutor
from orchkit.model.expressions import render
from orchkit.model.nodes import Task

__all__ = ["AiExecutor"]

_REQUIRED = ("url", "model", "prompt")
_SETTINGS = frozenset({*_REQUIRED, "system", "schema", "api_key", "temperature", "max_tokens", "prices"})
_MILLION = 1_000_000
_DEFAULT_TIMEOUT_S = 120.0


class AiExecutor:
    """Asks a model; the result has ``answer``, ``model``, ``tokens_in``, ``tokens_out`` and ``cost``.

    Settings: ``url`` (up to ``/v1``), ``model``, ``prompt``, ``system``, ``api_key`` (``${secrets.…}``), ``schema``
    (a JSON Schema: the answer is then a value of it, not text), ``temperature``, ``max_tokens``, ``prices``
    (``{in: 0.5, out: 1.5}``, a million tokens; without them the cost is null). A refusal, an answer that is cut off or
    does not fit the schema, and a reply without a choice are transient, since another attempt may do better; HTTP codes
    as for HTTP tasks.
    """

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self._http = HttpExecutor(transport)

    def problem_with(self, task: Task) -> Exception | None:
        """Return why this task cannot be run here, or None."""
        return settings_problem(task, required=_REQUIRED, known=_SETTINGS)

    def prepare(self, attempt: Attempt) -> Callable[[], Any]:
        """Return the question, ready to be asked."""
        settings = dict(render(dict(attempt.task.settings), attempt.names))
        headers = {"Idempotency-Key": attempt.idempotency_key}
        if "api_key" in settings:
            headers["Authorization"] = f"Bearer {settings['api_key']}"
        timeout_s = attempt.task.timeout_s or _DEFAULT_TIMEOUT_S
        prices = settings.get("prices")
        if prices is not None:  # looked at before the question costs anything
            known = isinstance(prices, Mapping) and all(
                isinstance(prices.get(way), int | float) for way in ("in", "out")
            )
            if not known:
                message = f"Task {attempt.task.name!r} (ai): prices are two numbers, such as {{in: 0.5, out: 1.5}}."
                raise PermanentError(message)
        return functools.partial(self._ask, settings, headers, timeout_s)

    def _ask(self, settings: Mapping[str, Any], headers: Mapping[str, str], timeout_s: float) -> dict[str, Any]:
        url = f"{str(settings['url']).rstrip('/')}/chat/completions"
        try:
            reply = self._http.send("POST", url, json=_request(settings), headers=headers, timeout=timeout_s)
        except BrokenAnswer as error:  # a connection that was cut off in between
            raise TransientError(error.message) from error
        content = _content(_choice(reply, url))
        usage = reply["usage"] if isinstance(reply.get("usage"), dict) else {}
        tokens = [_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens")]
        return {
            "answer": _fitting(content, settings["schema"]) if "schema" in settings else content,
            "model": reply.get("model", settings["model"]),
            "tokens_in": tokens[0],
            "tokens_out": tokens[1],
            "cost": _cost(settings.get("prices"), *tokens),
        }

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _choice(reply: Any, url: str) -> dict[str, Any]:  # noqa: ANN401 -- JSON
    """Return the first choice of a reply."""
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if isinstance(choices, list) and choices and isinstance(choices[0], dict) and choices[0].get("message"):
        return dict(choices[0])
    if isinstance(reply, dict) and reply.get("error"):  # some servers say so with the code 200
        message = f"{url} answered with an error: {str(reply['error'])[:500]}"
        raise TransientError(message)
    if isinstance(choices, list):
        message = f"{url} answered without a choice."
        raise TransientError(message)
    message = f"{url} answered with something that is no chat completion."
    raise PermanentError(message)


def _content(choice: Mapping[str, Any]) -> str:
    """Return the text of a choice: the whole of it, and not a refusal."""
    message, reason = choice["message"], choice.get("finish_reason")
    content, refusal = (
        (message.get(name) for name in ("content", "refusal")) if isinstance(message, dict) else (None,) * 2
    )
    if isinstance(content, list):  # in parts
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    if reason == "content_filter":
        refusal = refusal or "its filter took the answer out"
    if reason == "length":
        raise TransientError("The answer was cut off: raise max_tokens.")
    if reason == "tool_calls" and not content:
        refusal = "it asks for a tool, and was given none"
    if refusal or not isinstance(content, str):
        text = f"The model refused: {refusal or 'it gave no answer'}."
        raise TransientError(text)
    return content


def _count(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _request(settings: Mapping[str, Any]) -> dict[str, Any]:
    asked = [{"role": "system", "content": str(settings["system"])}] if "system" in settings else []
    request: dict[str, Any] = {
        "model": settings["model"],
        "messages": [*asked, {"role": "user", "content": str(settings["prompt"])}],
    }
    request |= {name: settings[name] for name in ("temperature", "max_tokens") if name in settings}
    if "schema" in settings:
        schema = {"name": "answer", "schema": settings["schema"], "strict": True}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    return request


def _fitting(content: str, schema: Mapping[str, Any]) -> Any:  # noqa: ANN401 -- JSON
    import jsonschema  # noqa: PLC0415 -- heavy: its checkers of formats build grammars

    try:
        value = json.loads(content, parse_constant=_refuse_constant)
        jsonschema.validate(value, schema)
    except ValueError as error:
        message = f"The answer is not JSON: {content[:200]}"
        raise TransientError(message) from error
    except jsonschema.ValidationError as error:
        message = f"The answer does not fit the schema at {error.json_path}: {error.message}"
        raise TransientError(message) from error
    except jsonschema.SchemaError as error:
        message = f"The schema makes no sense: {error.message}"
        raise PermanentError(message) from error
    return value


def _refuse_constant(name: str) -> Any:  # noqa: ANN401 -- it never returns
    raise ValueError(name)


def _cost(prices: Mapping[str, float] | None, tokens_in: int, tokens_out: int) -> float | None:
    if prices is None:
        return None
    return (tokens_in * float(prices["in"]) + tokens_out * float(prices["out"])) / _MILLION

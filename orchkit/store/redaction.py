"""Secrets never reach a row: wherever one would, three stars stand instead."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from orchkit.errors import SecretError

__all__ = ["Redactor"]

_STARS = "***"
# Longer than the stars: so each replacement shortens a text, and replacing until nothing is found comes to an end.
_SHORTEST = 4


class Redactor:
    """Takes secrets out of texts.

    Each secret is found as it is, as part of a JSON text, percent-encoded as in a URL, and in Base64 (also in the
    middle of what was encoded, as in HTTP's basic authentication). In JSON, whole texts, keys and numbers are
    replaced, so that JSON stays JSON.

    Parameters
    ----------
    secrets
        Secrets by name. Empty ones are passed over.

    Raises
    ------
    SecretError
        A secret of less than 4 characters: it would be found everywhere.

    Examples
    --------
    >>> redact = Redactor({"token": "hunter22"})
    >>> redact.text("401 for Bearer hunter22")
    '401 for Bearer ***'
    >>> redact.text('{"auth":"aHVudGVyMjI=","pages":2}')
    '{"auth":"***","pages":2}'
    """

    __slots__ = ("_forms", "_pattern")

    def __init__(self, secrets: Mapping[str, str]) -> None:
        for name, secret in secrets.items():
            if 0 < len(secret) < _SHORTEST:
                message = (
                    f"Secret {name!r} has {len(secret)} characters. With fewer than {_SHORTEST}, it would be found in "
                    "ordinary text, which would be hidden too: choose a longer one."
                )
                raise SecretError(message)
        found = {form for secret in secrets.values() if secret for form in _forms(secret)}
        self._forms = tuple(sorted(found, key=lambda form: (-len(form), form)))
        self._pattern = re.compile("|".join(map(re.escape, self._forms)))

    def text(self, text: str | None) -> str | None:
        """Return a text without secrets; None for None."""
        if text is None or not self._forms or not self._finds(text):
            return text
        if text[:1] not in ("{", "["):
            return self._replaced(text)
        try:
            value = json.loads(text)
            clean = self._cleaned(value)
        except (ValueError, RecursionError):
            return self._replaced(text)
        return _json(clean if isinstance(clean, type(value)) else type(value)())

    def _finds(self, text: str) -> bool:
        return any(form in text for form in self._forms)

    def _replaced(self, text: str) -> str:
        while self._finds(text):  # what is left of both sides may make another one
            text = self._pattern.sub(_STARS, text)
        return text

    def _cleaned(self, value: Any) -> Any:  # noqa: ANN401 -- JSON
        match value:
            case str():
                return self._replaced(value)
            case dict():
                clean: Any = {self._replaced(key): self._cleaned(item) for key, item in value.items()}
            case list():
                clean = [self._cleaned(item) for item in value]
            case _:
                clean = value
        # A secret may be a number, or JSON itself: then it is longer than any one text in it.
        return _STARS if self._finds(_json(clean)) else clean


def _json(value: Any) -> str:  # noqa: ANN401 -- JSON
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _forms(secret: str) -> Iterator[str]:
    """Yield the ways in which a secret may be written."""
    for form in {secret, secret.strip()}:
        if len(form) < _SHORTEST:
            continue
        yield form
        for ascii_only in (True, False):
            once = json.dumps(form, ensure_ascii=ascii_only)
            yield once[1:-1]
            yield json.dumps(once, ensure_ascii=ascii_only)[3:-3]  # a JSON text inside JSON
        yield from _percent_encoded(form)
        yield from _base64(form.encode(errors="surrogatepass"))


def _percent_encoded(secret: str) -> Iterator[str]:
    raw = secret.encode(errors="surrogatepass")
    for form in (quote(raw), quote(raw, safe=""), quote_plus(raw)):
        yield form
        yield re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), form)


def _base64(secret: bytes) -> Iterator[str]:
    """Yield Base64 of a secret alone, and what is sure to stand in the text where there is more around it."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(secret).decode()
        yield whole
        yield whole.rstrip("=")
        for before in range(3):
            inside = encode(bytes(before) + secret).decode()
            first, end = -(-before * 8 // 6), (before + len(secret)) * 8 // 6
            yield inside[first:end]

"""What is shown of URIs, and of texts that may hold some: nothing that may be secret. One mask for all that is printed.

It hides too much rather than too little. People write passwords with an ``@`` or a ``/`` in them, forget the scheme,
the host or the ``@``, and put a URI where a name belongs; so all of a value that can be a user, a password or a
parameter is hidden, and what is shown are its kind and its place: ``postgresql://***@db/mlflow``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

HIDDEN = "***"

#: The kind of a URI, up to its slashes.
_KIND = re.compile(r"\s*(?:jdbc:)?[A-Za-z][\w+.-]*:/{2,}|\s*//")
#: Files: no user stands in them, and an @ belongs to a name.
_FILE = re.compile(r"\s*(?:sqlite(?:\+\w+)?|file):///", re.IGNORECASE)
#: What ends a user and a password; some encode it, which makes them part of the host.
_AT = re.compile("@|\N{FULLWIDTH COMMERCIAL AT}|%40")
_PORT = re.compile(r"\[[^\]]*\](?::\d{1,5})?|[^:]*(?::\d{0,5})?")
#: A key that says that its value is secret.
_SECRET_KEY = re.compile(
    r"pass(?!age)|pwd|secret|token(?!s|iz)|credential|signature|\bsig\b|odbc_connect|(?:api|access|account|private)[-_]?key",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(r"(?<![\w.-])([\w.-]+)['\"]?(?:\s*=\s*|\s*:\s+)")
_ASSIGNED_WORD = re.compile(r"(?<![\w.-])([\w.-]+['\"]?\s*=\s*)(\{[^}]*\}|'[^']*'|\"[^\"]*\"|[^\s;&'\"]+)")
#: Keys that services hand out are known by their beginnings.
_KEY = re.compile(r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{12,}|gh[opsu]_\w{20,}|hf_\w{20,}|dapi[0-9a-f]{20,})")
#: In a text: everything before the @ of a host, where a password may hold spaces.
_SPACED = re.compile("(//)[^/@]*(?=@)")
_WORD = re.compile(r"[^\s'\"<>()]+")


def masked(value: Any) -> Any:
    """A value as it may be shown: a text that may be a URI and nothing else, or a list or mapping with such in it."""
    if isinstance(value, str):
        return _hide(value, _spans(value, alone=True))
    if isinstance(value, Mapping):
        return {masked(key): HIDDEN if _tells(key) and inner else masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(masked(inner) for inner in value)
    return value


def masked_in(text: str) -> str:
    """A text, such as a sentence, with ``***`` in the place of users, passwords and parameters of its URIs."""
    text = _SPACED.sub(rf"\1{HIDDEN}", text)

    def word(found: re.Match[str]) -> str:
        return _hide(found[0], _spans(found[0], alone=False))

    return _KEY.sub(HIDDEN, _assignments(_WORD.sub(word, text)))


def without_user(uri: str) -> str:
    """An address as others may open it: without the user and the password that stand in it."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def passwords(uri: str) -> set[str]:
    """The passwords that stand in a URI, as they are written there and as they are meant; a lone user is none."""
    return {form for word in _passwords(uri) for form in (word, unquote(word), unquote_plus(word))}


def hidden_in(text: str, secrets_of: Any) -> str:
    """A text without what is secret in a value, wherever a library has put it: as it is written, as it is meant, and
    in parts, for a password with an ``@`` or a ``/`` is cut there by those who take it for a host.
    """
    for secret in sorted(set(_secrets(secrets_of)), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return masked_in(text)


def _tells(key: Any) -> bool:
    return isinstance(key, str) and bool(_SECRET_KEY.search(key))


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from (value[start:end] for start, end in _spans(value, alone=True) if end - start > 3)
        for password in passwords(value):
            yield password
            yield from (part for part in re.split(r"[@/?#&=;:%,\s]+", password) if len(part) > 3)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _secrets(key)
            yield from [str(inner)] if _tells(key) and isinstance(inner, str | int) and inner else _secrets(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets(inner)


def _passwords(uri: str) -> Iterator[str]:
    kind = _KIND.match(uri)
    start = kind.end() if kind else 0
    at = None if _FILE.match(uri) else _last_at(uri)
    if at is not None:
        if ":" in uri[start:at]:
            yield uri[start:at].partition(":")[2]
    elif kind and not _FILE.match(uri) and (port := _wrong_port(uri, start)) is not None:
        yield uri[port:]
    for part in re.split("[?#&]", uri[_query(uri) or len(uri) :]):
        name, _, value = part.partition("=")
        if _tells(name) and value:
            yield value


def _spans(text: str, *, alone: bool) -> list[tuple[int, int]]:
    """From where to where ``text`` is hidden; ``alone``: it is one value, and not a word of a sentence."""
    kind = _KIND.match(text)
    start = kind.end() if kind else 0
    found = []
    at = None if _FILE.match(text) else _last_at(text)
    if at is not None and (alone or kind or ":" in text[:at]):
        found.append((start, at))
    elif kind is None and alone and text.count(":") > 1 and not re.search(r"\s", text):
        found.append((text.index(":") + 1, len(text)))
    elif kind and alone and not _FILE.match(text) and (port := _wrong_port(text, start)) is not None:
        found.append((port, len(text)))
    if (kind or at is not None) and (query := _query(text)) is not None:
        found.append((query + 1, len(text)))
    if alone:
        found += [(key.end(), len(text)) for key in _ASSIGNED.finditer(text) if _tells(key[1])][:1]
        found += [key.span() for key in _KEY.finditer(text)]
    return [(first, last) for first, last in found if first < last]


def _last_at(text: str) -> int | None:
    found = [at.start() for at in _AT.finditer(text)]
    return found[-1] if found else None


def _query(text: str) -> int | None:
    found = re.search("[?#]", text)
    return found.start() if found and "=" in text[found.start() :] else None


def _wrong_port(text: str, start: int) -> int | None:
    """Where something stands in the place of a port that is none: a password whose host is missing."""
    host = re.split("[/?#]", text[start:])[0]
    if _PORT.fullmatch(host) or ":" not in host:
        return None
    return start + host.index(":") + 1


def _assignments(text: str) -> str:
    """``password=WORD`` in a text, up to the end of the word."""

    def value(found: re.Match[str]) -> str:
        return f"{found[1]}{HIDDEN}" if _tells(found[1]) else found[0]

    return _ASSIGNED_WORD.sub(value, text)


def _hide(text: str, spans: list[tuple[int, int]]) -> str:
    """Spans that overlap or meet are one."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    for first, last in reversed(merged):
        text = text[:first] + HIDDEN + text[last:]
    return text

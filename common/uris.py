"""URIs for people: without the passwords that may stand in them."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

#: Behind the user's name, up to an @ (a database's may hold a slash), and in the query, as databases take it.
_PASSWORDS = (
    re.compile(r"(://[^:/@\s]*:)([^/\s]*|[^@\s]*)(?=@)"),
    re.compile(r"([?&]\w*(?:password|passwd|pwd|odbc_connect)=)([^&\s]*)", re.IGNORECASE),
)


def masked(text: str) -> str:
    """A URI, or a text with URIs in it, with ``***`` in the place of each password."""
    for pattern in _PASSWORDS:
        text = pattern.sub(r"\1***", text)
    return text


def passwords(uri: str) -> set[str]:
    """The passwords that stand in a URI, as they are written there and as they are meant."""
    written = [found[2] for pattern in _PASSWORDS for found in pattern.finditer(uri) if found[2]]
    return {form for word in written for form in (word, unquote(word), unquote_plus(word))}

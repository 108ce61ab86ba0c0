"""URIs for people: without what is secret in them."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

#: Behind the user's name, up to an @ (a database's may hold a slash), and in the query, as databases take it.
_PASSWORDS = (
    re.compile("(://[^:/@]*:)([^/]*|[^@]*)(?=@)"),
    re.compile(r"([?&]\w*(?:password|passwd|pwd|odbc_connect)=)([^&]*)", re.IGNORECASE),
)
#: The same in a text, in which a URI ends somewhere: all of what stands before the @ of a host, and words of the query.
_SECRETS = (
    re.compile("(//)[^/@]*(?=@)"),
    re.compile(r"([?&][^=&\s]*(?:password|passwd|pwd)=)[^&\s]*", re.IGNORECASE),
)


def masked(uri: str) -> str:
    """A URI, and nothing else, with ``***`` in the place of its password; the user's name is shown."""
    for pattern in _PASSWORDS:
        uri = pattern.sub(r"\1***", uri)
    return uri


def masked_in(text: str) -> str:
    """A text with ``***`` in the place of users and passwords of its URIs: a lone name may be a key or a token."""
    for pattern in _SECRETS:
        text = pattern.sub(r"\1***", text)
    return text


def passwords(uri: str) -> set[str]:
    """The passwords that stand in a URI, as they are written there and as they are meant."""
    written = [found[2] for pattern in _PASSWORDS for found in pattern.finditer(uri) if found[2]]
    return {form for word in written for form in (word, unquote(word), unquote_plus(word))}

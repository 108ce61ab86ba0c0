"""Texts on their way to a terminal or a file: without secrets, and without what a terminal takes for a command."""

from __future__ import annotations

import re
import unicodedata

from common.uris import masked_in

#: Control characters but for the end of a line and a tab, halves of a character, ends of lines that most do not know
#: and signs that turn the direction of writing.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

#: What a name may not have in it: it stands in tables and in the names of files, and is no path, address or URI.
_NOT_IN_NAMES = re.compile(r"[/\\:@=?#&;\n\t]")
#: Format characters, which nobody sees: two names that differ by them alone look the same.
_INVISIBLE = ("Cf", "Zl", "Zp", "Co", "Cn")
LONGEST_NAME = 100


def check_name(name: str) -> None:
    """ValueError where something cannot be called so."""
    rule = ""
    if len(name) > LONGEST_NAME:
        rule = f"a name has at most {LONGEST_NAME} signs, but this one has {len(name)}"
    elif not name.strip() or name.startswith("."):
        rule = "a name must not be empty or begin with a dot"
    elif found := _NOT_IN_NAMES.search(name) or UNPRINTABLE.search(name):
        rule = f"a name must not have {found[0]!r} in it"
    elif unseen := next((sign for sign in name if unicodedata.category(sign) in _INVISIBLE), ""):
        rule = f"a name must not have {unseen!a} in it, which nobody sees"
    if rule:
        raise ValueError(f"{rule}; choose another for {name[:LONGEST_NAME]!a}")


def printable(text: str) -> str:
    r"""A text with what a terminal would act on written as Python writes it: ``\x1b[31m``."""
    return UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def shown(text: str) -> str:
    """A text as it may be printed, logged and stored: ``printable``, and without what is secret."""
    return masked_in(printable(text))

"""URIs with a password in them, as people write and mistype them."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

SECRET = "hunter2xyz"

URIS = [
    "postgresql://bob:hunter2xyz@h/db",
    "postgresql+psycopg2://bob:hunter2xyz@h:5432/db",
    "POSTGRESQL://bob:hunter2xyz@h/db",
    "trackng://bob:hunter2xyz@h/db",
    "foo:bob:hunter2xyz@h/db",
    "bob:hunter2xyz@h/db",
    "//bob:hunter2xyz@h/db",
    "postgresql:bob:hunter2xyz@h/db",
    "postgresql:/bob:hunter2xyz@h/db",
    "postgresql:///bob:hunter2xyz@h/db",
    "postgresql://bob:hunter@2xyzabc@h/db",
    "postgresql://bob:hunter/2xyzabc@h/db",
    "postgresql://bob:hunter/2xyz@abcdef@h/db",
    "postgresql://bob:hunter?2xyz=abcdef@h/db",
    "postgresql://bob:hunter#2xyzabc@h/db",
    "postgresql://bob:hunter:2xyzabc@h/db",
    "postgresql://bob:hunter 2xyzabc@h/db",
    "postgresql://bob:hunter'2xyzabc@h/db",
    'postgresql://bob:hunter"2xyz"abc@h/db',
    "postgresql://bob:hunter%402xyz%2Fabc@h/db",
    "postgresql://bob:hunter+2xyz%25abc@h/db",
    "postgresql://bob:hunter2xyz%40h/db",
    "postgresql://bob:hunter2xyz",
    "postgresql://bob:hunter2xyz/h/db",
    "postgresql://:hunter2xyz@h/db",
    "https://hunter2xyz@h/db",
    "https://hunter2xyz:@h/db",
    "hunter2xyz@h/db",
    "postgresql://h/db?user=bob&password=hunter2xyz",
    "postgresql://h/db?user=bob&password=hunter@2xyzabc",
    "mysql+pymysql://h/db?passwd=hunter2xyz&charset=utf8",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BUID%3Dsa%3BPWD%3Dhunter2xyz",
    "mssql+pyodbc:///?odbc_connect=DRIVER={ODBC 18};UID=sa;PWD=hunter2xyz",
    "jdbc:postgresql://h/db?user=bob&password=hunter2xyz",
    "jdbc:sqlserver://h;user=sa;password=hunter2xyz",
    "jdbc:oracle:thin:bob/hunter2xyz@h:1521:xe",
    "host=h user=bob password=hunter2xyz",
    "s3://AKIA:hunter2xyz@bucket/runs",
    "s3://bucket/runs?secret=hunter2xyz",
    "https://h/runs?sv=1&sig=hunter2xyz%3D",
    "https://h/runs#access_token=hunter2xyz",
    "sqlite:///runs.db?password=hunter2xyz",
]


def pieces(uri: str) -> set[str]:
    """What must not be seen of a URI's password: as it is written, as it is meant, and its parts."""
    written = re.search(r"hunter.*?(?=@h|@bucket|%40h|/h/db|&charset|%3D$|$)", uri)
    assert written
    forms = {form(written[0].rstrip(":")) for form in (str, unquote, unquote_plus)}
    parts = {part for form in forms for part in re.split(r"[@/?#:=&+%'\" ]+", form) if len(part) > 3}
    return forms | parts

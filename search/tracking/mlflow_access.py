"""How MLflow is reached, and what its answers mean: away for now, or refused to this user.

What is away comes back by itself, and the journal waits for it. What is refused stays so until somebody does
something about it: a wrong password, or a permission that is missing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from common.uris import hidden_in, masked, without_user
from common.words import printable
from search.errors import RefusedError
from trainables.trial import CellKey

if TYPE_CHECKING:  # importing it takes seconds
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

#: A server that is away is to be noticed within seconds; whoever writes keeps trying by itself.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # what it says in errors is told; its logs may show the URI with its password
}
CONNECT_SECONDS = 10

_REFUSED_BY_DATABASE = re.compile(
    "authentication failed|no password supplied|no pg_hba.conf entry|permission denied|"
    "(role|database) .+ does not exist"
)


class AwayError(OSError):
    """MLflow does not answer, or not as it should; trying again later may help."""


def client(tracking: str) -> MlflowClient:
    """A client of the store at this URI. Raises what ``translated`` translates."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # seconds to import

    is_empty(tracking)  # MLflow would try for a minute and a half before it says that a database is away
    return MlflowClient(tracking_uri=tracking)


def is_empty(tracking: str) -> bool:
    """Whether a SQLite file is not there, or a PostgreSQL database has no tables of MLflow's: a client would make them.

    Raises what ``translated`` translates.
    """
    if (file := tracking.removeprefix("sqlite:///")) != tracking:
        return not Path(file).exists()
    if not tracking.startswith("postgresql"):
        return False
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.pool import NullPool

    engine = create_engine(tracking, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_SECONDS})
    with engine.connect() as connection:
        return not inspect(connection).has_table("experiments")


def open_experiment(client: MlflowClient, study: str, tracking: str, folder: Path) -> Experiment:
    """The study's experiment, found or made; written to once, so that who may not is told at once.

    ``folder``: the study's, here. A store that is a database keeps no files: the report goes there.
    """
    found = client.get_experiment_by_name(study)
    if found and found.lifecycle_stage != "active":
        raise AwayError(f"experiment {study!r} was deleted; restore it with: mlflow experiments restore")
    if found is None:
        server = tracking.startswith(("http:", "https:", "databricks"))
        place = None if server else (folder.absolute() / "mlflow").as_uri()
        found = client.get_experiment(client.create_experiment(study, place))
    client.set_experiment_tag(found.experiment_id, "aot.study", study)
    return found


def page_of(study: str, tracking: str) -> str | None:
    """The address of a study's experiment in the UI of the server at this URI; None where none answers, or has it."""
    if not tracking.startswith(("http://", "https://")):
        return None
    try:
        with translated(study, tracking, "READ"):
            found = client(tracking).get_experiment_by_name(study)
    except AwayError:
        return None
    return f"{without_user(tracking).rstrip('/')}/#/experiments/{found.experiment_id}" if found else None


def check_writable(study: str, tracking: str, folder: Path) -> None:
    """Raises RefusedError where this user may not write the study's runs there, AwayError where nobody can tell."""
    with translated(study, tracking, "EDIT"):
        open_experiment(client(tracking), study, tracking, folder)


def cell_of(tags: Mapping[str, str]) -> CellKey:
    """The cell that a run belongs to, by its tags."""
    return CellKey(tags["aot.backbone"], tags["aot.task"], tags["aot.method"])


@contextmanager
def translated(study: str, tracking: str, permission: str) -> Iterator[None]:
    """Errors of MLflow, HTTP and databases as RefusedError or AwayError, in one line without secrets.

    ``permission``: what is asked for, in the words of MLflow's own permissions.
    """
    try:
        yield
    except (RefusedError, AwayError):
        raise
    except ImportError as error:
        raise RefusedError(f"MLflow at {masked(tracking)} cannot be used ({error}); install that package") from error
    except Exception as error:
        if not isinstance(error, _of_stores()):
            raise
        words = _refusal(error, study, tracking, permission)
        raise (RefusedError(words) if words else AwayError(told(error, tracking))) from error


def _of_stores() -> tuple[type[Exception], ...]:
    """What MLflow, HTTP and databases raise. Imported where something was raised: it takes seconds."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, RequestException, SQLAlchemyError, OSError


def _refusal(error: Exception, study: str, tracking: str, permission: str) -> str | None:
    """What this user lacks and what to do about it; None where the error is another one."""
    status = error.get_http_status_code() if hasattr(error, "get_http_status_code") else None
    where = f"MLflow at {masked(tracking)}"
    if status in (401, 403):
        user = _user(tracking)
        variables = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        if status == 401 and user is None:
            return f"{where} wants a user and a password; set {variables}"
        if status == 401:
            return f"{where} does not know user {user!r} with the password given; check {variables}"
        who = "this user" if user is None else f"user {user!r}"
        return (
            f"{where} refuses {who} {permission} permission on experiment {study!r}; "
            f"ask whoever runs the server for it, or set {variables} of another user"
        )
    reason = told(error, tracking)
    if not tracking.startswith(("http:", "https:")) and _REFUSED_BY_DATABASE.search(reason):
        return f"{where} cannot be used ({reason}); check user, password and database, or ask whoever runs it"
    return None


def _user(tracking: str) -> str | None:
    """Who MLflow's client says it is: by its own variables or file, or by the URI."""
    from mlflow.utils.credentials import read_mlflow_creds

    return read_mlflow_creds().username or urlsplit(tracking).username


def told(error: Exception, uri: str) -> str:
    """An error in one line, without the password of the URI."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    text = re.sub(r"^\([\w.]+\) ", "", text)  # SQLAlchemy names the driver's class first
    return hidden_in(printable(text), uri)[:300]

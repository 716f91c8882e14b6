"""Where several drivers keep one study: a PostgreSQL database, by its URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from mpsearch.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from psycopg import Connection

STORAGE_VARIABLE = "MPSEARCH_STORAGE"
STUDY_LOCK = 0x6D707365  # class of our advisory locks ("mpse"); the object is a study, 0 to make one
_RULE = "A study's storage must be postgresql://USER@HOST/DATABASE"
_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_SECRETS = ("password", "sslpassword")  # of libpq's settings
_IN_PATH = ("user", "host", "port", "dbname")
# A server that is gone is noticed within a minute or two, also where nothing on the way says so.
_LIVELINESS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "application_name": "mpsearch",
}


@dataclass(frozen=True, slots=True)
class StudyAddress:
    """A PostgreSQL database. `str` of it is a URL without its passwords, which are kept out of every text.

    `settings` are libpq's; what is not given (a password above all) libpq takes from PGPASSWORD, ~/.pgpass
    and its other variables and files.
    """

    settings: Mapping[str, str]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises: ConfigError if it is not the URL of a PostgreSQL database."""
        from psycopg import ProgrammingError  # noqa: PLC0415 - only where a study is shared
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

        scheme, colon, rest = url.partition("://")
        if not colon:
            raise ConfigError(f"{_RULE}; got {url!r:.80}." if "@" not in url else f"{_RULE}; got no ://.")
        if scheme not in _SCHEMES:
            raise ConfigError(
                f"{_RULE}; got one that begins with {scheme!r:.40}. Several drivers share a PostgreSQL "
                "database; a search by one driver keeps its study in its run folder: leave --storage out."
            )
        try:
            given = {name: str(value) for name, value in conninfo_to_dict(f"postgresql://{rest}").items()}
        except ProgrammingError:  # its text may quote the password
            given = {}
        ports = given.get("port", "").replace(",", "")
        if not given or "@" in given.get("host", "") or not (ports.isdecimal() or not ports):
            raise ConfigError(
                f"{_RULE}; got one that cannot be read. Write signs such as @ : / # in a name or password as "
                "%40 %3A %2F %23, or leave the password to PGPASSWORD or ~/.pgpass."
            )
        if not given.get("dbname"):
            raise ConfigError(f"{_RULE}; got one without a DATABASE. Create it first: createdb mpsearch.")
        secrets = {name: value for name, value in given.items() if name in _SECRETS}
        return cls({name: value for name, value in given.items() if name not in _SECRETS}, secrets)

    def __str__(self) -> str:
        given = self.settings
        user = f"{quote(given['user'], safe='')}@" if "user" in given else ""
        hosts, ports = given.get("host", ""), given.get("port", "")
        more = {name: value for name, value in given.items() if name not in _IN_PATH}
        if "/" in hosts or "," in hosts:  # a socket's folder, or several servers
            more = {name: given[name] for name in ("host", "port") if name in given} | more
            place = ""
        else:
            place = f"[{hosts}]" if ":" in hosts else quote(hosts, safe="")
            place += f":{ports}" if ports else ""
        query = f"?{urlencode(more, quote_via=quote)}" if more else ""
        return f"postgresql://{user}{place}/{quote(given['dbname'], safe='')}{query}"

    def connect(self) -> Connection[Any]:
        """A connection whose clock is UTC, and that gives its locks back if its driver falls asleep.

        Raises: psycopg.Error.
        """
        from psycopg import connect  # noqa: PLC0415 - as above

        connection = connect(**{**_LIVELINESS, **self.settings, **self.secrets})  # type: ignore[arg-type]
        try:
            connection.execute("SET TIME ZONE 'UTC'")
            connection.execute("SET idle_in_transaction_session_timeout = '60s'")
            connection.commit()
        except BaseException:
            connection.close()
            raise
        return connection


def unreachable(address: StudyAddress, error: BaseException) -> StorageError:
    """What a failed connection says, with the next step."""
    text = " ".join(str(error).split())
    for secret in address.secrets.values():
        text = text.replace(secret, "***")
    said = text.lower()
    user = address.settings.get("user", "USER")
    database = address.settings["dbname"]
    if "password" in said or "authentication" in said or "pg_hba" in said:
        step = "Give the password in PGPASSWORD or ~/.pgpass; the server's pg_hba.conf says who may connect."
    elif "database" in said and "does not exist" in said:
        step = f"Create it on that server: createdb {database}."
    elif "role" in said and "does not exist" in said:
        step = f"Create the user on that server: createuser {user}."
    elif "permission denied" in said:
        step = f"Let {user} create tables in {database}: GRANT ALL ON SCHEMA public TO {user}."
    elif "resolve host" in said or "name or service" in said or "name resolution" in said:
        step = "Check the host's name."
    else:
        step = "Check that the server runs and listens there, and that no firewall is between."
    return StorageError(f"The study's server {address} must answer; got: {text[-300:].rstrip('.')}. {step}")

"""A run folder's part in a study that it shares with others."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mpsearch.errors import ConfigError, FormatError, RunError
from mpsearch.search.events import OnEvent
from mpsearch.search.objective import Objective
from mpsearch.search.resolve import ResolvedSpace
from mpsearch.search.run_folder import RunFolder
from mpsearch.search.study_address import STORAGE_VARIABLE, StudyAddress
from mpsearch.search.study_facts import StudyFacts, keep_facts, read_facts

if TYPE_CHECKING:
    from mpsearch.search.shared_study import SharedStudy

LINK_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """Which study, where, and who this driver is in it; study.json in the run folder, without passwords.

    `uid` is the study's, to tell it from a later one of the same name; `token` is the folder's, to tell two
    machines of one name apart.
    """

    folder: RunFolder
    address: StudyAddress
    study: str
    uid: str
    token: str
    is_linked: bool = False

    @property
    def driver(self) -> str:
        """What records say of who ran them: HOST:FOLDER."""
        return f"{socket.gethostname()}:{self.folder.path.resolve()}"

    def facts(self) -> StudyFacts | None:
        """What the study's drivers agreed on; None before the first.

        Raises: RunError if the study that this folder belongs to is gone; else as `read_facts`.
        """
        facts = read_facts(self.address, self.study)
        is_gone = facts is None and bool(self.folder.written_records())
        if self.is_linked and (is_gone or (facts is not None and facts.uid != self.uid)):
            raise RunError(
                f"{self.folder.path} belongs to study {self.study!r} at {self.address}, which is "
                f"{'not there any more' if facts is None else 'another one now'}. Restore it; or remove "
                f"{self.folder.study_file} to go on in the folder alone, with all trials of its trials.jsonl."
            )
        return facts

    def require_same(self, there: StudyFacts, mine: StudyFacts) -> None:
        """Raises: RunError if this driver would search something else than the others."""
        differing = there.differences(mine)
        if differing:
            raise RunError(
                f"Drivers of one study must search the same; here {', '.join(differing)} "
                f"{'differs' if len(differing) == 1 else 'differ'} from study {self.study!r} at "
                f"{self.address}. Budgets, overrides, trials, workers and time may differ; for the rest "
                "choose --study NAME."
            )

    def settle(self, facts: StudyFacts, objectives: tuple[Objective, ...]) -> Sharing:
        """Make the study if it is not there, and remember it in the folder.

        Raises: as `require_same`, `SharedStudy` and `read_facts`.
        """
        from mpsearch.search.shared_study import make_study  # noqa: PLC0415 - only where a study is shared

        make_study(self.address, self.study, objectives)
        there = keep_facts(self.address, self.study, facts)
        self.require_same(there, facts)
        linked = replace(self, uid=there.uid, is_linked=True)
        document = {
            "schema": LINK_SCHEMA,
            "address": str(self.address),
            "study": self.study,
            "uid": there.uid,
            "token": self.token,
        }
        self.folder.write_json(self.folder.study_file, document)
        return linked

    def open(self, resolved: ResolvedSpace, objectives: tuple[Objective, ...], emit: OnEvent) -> SharedStudy:
        """The hold of this driver on the study.

        Raises: as `SharedStudy`.
        """
        from mpsearch.search.shared_study import SharedStudy  # noqa: PLC0415 - as above

        return SharedStudy(
            self.address,
            self.study,
            driver=self.driver,
            identity=f"{self.driver}#{self.token}",
            resolved=resolved,
            objectives=objectives,
            emit=emit,
        )


def sharing_of(folder: RunFolder, storage: str | None, study: str | None) -> Sharing | None:
    """The study that a folder shares, or shall by `storage` or MPSEARCH_STORAGE; None for one of its own.

    A folder stays with its study, which may have moved to another address.

    Raises: ConfigError if the address is none, or a study is named without one; RunError if the folder
    belongs to another study, or has one of its own.
    """
    given = storage or os.environ.get(STORAGE_VARIABLE) or None
    if folder.study_file.exists():
        return _linked(folder, storage, given, study)
    if folder.exists:
        if storage or study:
            raise RunError(
                f"A run keeps to its study; that of {folder.path} lies in its {folder.database.name}. Leave "
                "--storage and --study out, or choose another --out."
            )
        return None
    if given is None:
        if study:
            raise ConfigError(
                f"A study of a name lies in a database; got --study {study!r} alone. Add --storage "
                f"postgresql://USER@HOST/DATABASE, or set {STORAGE_VARIABLE}."
            )
        return None
    return Sharing(
        folder=folder,
        address=StudyAddress.parse(given),
        study=study or folder.path.resolve().name,
        uid=secrets.token_hex(8),
        token=secrets.token_hex(4),
    )


def _linked(folder: RunFolder, storage: str | None, given: str | None, study: str | None) -> Sharing:
    fields = folder.read_json(folder.study_file, schema=LINK_SCHEMA)
    try:
        address = StudyAddress.parse(str(fields["address"]))
        sharing = Sharing(
            folder=folder,
            address=address,
            study=str(fields["study"]),
            uid=str(fields["uid"]),
            token=str(fields["token"]),
            is_linked=True,
        )
    except (KeyError, ConfigError) as error:
        raise FormatError(
            f"{folder.study_file} must name the study of a run; got an odd field: {error}. Restore it, or "
            "search in another folder."
        ) from error
    if study is not None and study != sharing.study:
        raise RunError(
            f"A run keeps to its study; {folder.path} belongs to {sharing.study!r}, not to {study!r}. Leave "
            "--study out, or choose another --out."
        )
    if given is not None:
        asked = StudyAddress.parse(given)
        if storage is not None or asked == address:  # the variable may be about another study
            return replace(sharing, address=asked)
    return sharing

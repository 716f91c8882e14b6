"""What the drivers of a shared study must agree on; stored with the study by the first of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from mpsearch.errors import FormatError, RunError
from mpsearch.hardware.profile import HardwareProfile
from mpsearch.search.space import SearchSpace
from mpsearch.search.space_file import parse_space
from mpsearch.search.study_address import STUDY_LOCK, StudyAddress, unreachable

STUDY_FACTS_SCHEMA = 1
_KEY = "mpsearch"  # the user attribute of the study

_FIND = """
SELECT study_id, value_json FROM studies LEFT JOIN study_user_attributes USING (study_id)
WHERE study_name = %s AND (key = %s OR key IS NULL)
"""
_COUNT = "SELECT count(*) FROM trials JOIN studies USING (study_id) WHERE study_name = %s"
_KEEP = """
INSERT INTO study_user_attributes (study_id, key, value_json)
SELECT study_id, %s, %s FROM studies WHERE study_name = %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFacts:
    """`uid` tells the study from another of its name; `space` is YAML; `model` is a fingerprint, `baseline`
    the key of the 32-bit weights, one a width; `profiles` are the main one and those of further devices, in
    this order.
    """

    uid: str
    space: str
    model: str
    baseline: str
    profiles: tuple[Mapping[str, Any], ...]

    @classmethod
    def from_json(cls, text: str) -> StudyFacts:
        """Raises: FormatError if it is not what `json.dumps` makes of `to_dict`."""
        try:
            fields = json.loads(text)
            schema = fields.pop("schema")
            facts = cls(**{**fields, "profiles": tuple(fields["profiles"])})
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise FormatError(
                f"A shared study must say of itself what this mpsearch writes; got: {error!r:.200}. "
                "Use one mpsearch for all drivers."
            ) from error
        if schema != STUDY_FACTS_SCHEMA:
            raise FormatError(
                f"A shared study of schema {STUDY_FACTS_SCHEMA} can be searched; got schema {schema!r:.40}. "
                "Use one mpsearch for all drivers."
            )
        return facts

    def to_dict(self) -> dict[str, Any]:
        return {"schema": STUDY_FACTS_SCHEMA, **asdict(self)}

    def hardware_profiles(self) -> tuple[HardwareProfile, ...]:
        """Raises: FormatError if one cannot be read."""
        return tuple(HardwareProfile.from_dict(profile) for profile in self.profiles)

    def differences(self, mine: StudyFacts) -> tuple[str, ...]:
        """Names of what differs in what the trials rest on."""
        there = parse_space(self.space, source="the study's space")
        here = parse_space(mine.space, source="this space")
        found = list(there.differences(here))
        if self.model != mine.model:
            found.append("the model's layers")
        if self.baseline != mine.baseline:
            found.append("the 32-bit baseline (its data, recipe or code)")
        if [dict(profile) for profile in self.profiles] != [dict(profile) for profile in mine.profiles]:
            found.append("the hardware profile (leave --hw out to take the study's)")
        return tuple(found)


def facts_of(
    uid: str, space: SearchSpace, model: str, baseline: str, profiles: tuple[HardwareProfile, ...]
) -> StudyFacts:
    """As they come back from the study: through JSON."""
    documents = json.loads(json.dumps([profile.to_dict() for profile in profiles]))
    return StudyFacts(
        uid=uid, space=space.to_yaml(), model=model, baseline=baseline, profiles=tuple(documents)
    )


def read_facts(address: StudyAddress, study: str) -> StudyFacts | None:
    """The facts of a study; None where there is no study of that name yet.

    Raises: StorageError if the server does not answer; RunError if the study is not one of mpsearch;
    FormatError if it is one of another version.
    """
    from psycopg import Error, errors  # noqa: PLC0415 - only where a study is shared

    try:
        with closing(address.connect()) as connection:
            found = connection.execute(_FIND, [study, _KEY]).fetchone()
            if found is None:
                return None
            if found[1] is not None:
                return StudyFacts.from_json(found[1])
            count = connection.execute(_COUNT, [study]).fetchone()
    except errors.UndefinedTable:
        return None
    except Error as error:
        raise unreachable(address, error) from None
    if count is not None and count[0]:
        raise RunError(
            f"Study {study!r} at {address} must be one of mpsearch; it holds {count[0]} trials of another "
            "program. Choose another name: --study NAME."
        )
    return None


def keep_facts(address: StudyAddress, study: str, facts: StudyFacts) -> StudyFacts:
    """Store the facts of a study that has none yet; returns those that it has then.

    Raises: as `read_facts`.
    """
    from psycopg import Error  # noqa: PLC0415 - as above

    try:
        with closing(address.connect()) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", [STUDY_LOCK])
            found = connection.execute(_FIND, [study, _KEY]).fetchone()
            if found is None or found[1] is None:
                connection.execute(_KEEP, [_KEY, json.dumps(facts.to_dict()), study])
            connection.commit()
    except Error as error:
        raise unreachable(address, error) from None
    return facts if found is None or found[1] is None else StudyFacts.from_json(found[1])

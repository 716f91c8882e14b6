"""What was looked at on this machine, what is wrong with it, and what to do: plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

CHECKUP_SCHEMA = 1
BUSY = 0.5  # processes that run or wait, for each core: more, and timings are not to be trusted
State = Literal["ok", "fact", "note", "missing", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    ok: works. fact: is so. note: makes results worse, or will be needed. missing: something cannot be done.
    broken: nothing works without it. `advice` is what to do, for the last three.
    """

    name: str
    value: str
    state: State = "fact"
    advice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Findings that belong together."""

    title: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """All of it."""

    sections: tuple[Section, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for section in self.sections for finding in section.findings)

    @property
    def is_broken(self) -> bool:
        """Whether something fails that every search needs."""
        return any(finding.state == "broken" for finding in self.findings)

    @property
    def to_do(self) -> tuple[Finding, ...]:
        """What has an advice, the worst first."""
        order = {"broken": 0, "missing": 1, "note": 2}
        advised = [finding for finding in self.findings if finding.advice]
        return tuple(sorted(advised, key=lambda finding: order.get(finding.state, 3)))

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": CHECKUP_SCHEMA,
            "is_broken": self.is_broken,
            "sections": {
                section.title.lower(): [asdict(finding) for finding in section.findings]
                for section in self.sections
            },
        }

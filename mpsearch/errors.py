"""Every error that mpsearch raises on purpose.

An error states the rule, the value received and the next step.

MpsearchError
├── ConfigError              a setting, an argument or a space file breaks a rule
│   └── BudgetError          no policy of the space meets the budgets
├── ShapeError               an array or tensor has the wrong shape, type or layout
├── TraceError               a model cannot be traced to layer shapes
│   └── UnsupportedOperatorError  a model computes what a compiled plan does not know
├── KernelError              no kernel fits, or a kernel's bounds are exceeded
├── ProfileError             a hardware profile cannot be used
│   └── UnmeasuredError      a needed (layer shape, scheme) is not in the profile
├── FormatError              a file is truncated, corrupt, or of a newer schema
├── DataError                a data set is missing or unreadable
├── TaskError                a task's own code failed or broke its contract
├── TrialError               one trial failed (the study goes on)
├── RunError                 a run folder is locked, unfinished, or does not match
├── StorageError             the disk is full, or a path cannot be written
└── ExportError              a policy cannot be exported, or a packed model not run
"""

from __future__ import annotations

_MOST_LETTERS = 10_000


class MpsearchError(Exception):
    """Base class: catch this to catch every deliberate error of mpsearch.

    What it quotes may be of a damaged file: of a long text the beginning and the end are shown, and halves of
    surrogate pairs, which no terminal takes, as their codes.
    """

    def __str__(self) -> str:
        text = super().__str__().encode("utf-8", "backslashreplace").decode()
        if len(text) <= _MOST_LETTERS:
            return text
        half = _MOST_LETTERS // 2
        return f"{text[:half]} [... {len(text) - 2 * half} letters ...] {text[-half:]}"


class ConfigError(MpsearchError):
    """A setting, an argument or a space file breaks a rule."""


class BudgetError(ConfigError):
    """No policy of the space meets the budgets."""


class ShapeError(MpsearchError):
    """An array or tensor has the wrong shape, type or layout."""


class TraceError(MpsearchError):
    """A model cannot be traced to layer shapes."""


class UnsupportedOperatorError(TraceError):
    """A model computes what a compiled plan does not know; `reasons` names each operator and its module."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__(reasons)
        self.reasons = reasons

    def __str__(self) -> str:
        return f"A compiled plan cannot run this model: {'; '.join(self.reasons)}. It runs in torch instead."


class KernelError(MpsearchError):
    """No kernel fits, or a kernel's bounds are exceeded."""


class ProfileError(MpsearchError):
    """A hardware profile cannot be used."""


class UnmeasuredError(ProfileError):
    """A needed (layer shape, scheme) is not in the profile.

    The message ends in the command that adds it; `naming` puts the user's own files into it.
    """

    def __init__(
        self, lack: str, threads: int = 1, space: str = "SPACE.yaml", profile: str = "PROFILE.json"
    ) -> None:
        super().__init__(lack, threads, space, profile)
        self.lack, self.threads, self.space, self.profile = lack, threads, space, profile

    def __str__(self) -> str:
        on_threads = f" --threads {self.threads}" if self.threads != 1 else ""
        return f"{self.lack} Add it: mpsearch profile --space {self.space} --out {self.profile}{on_threads}"

    def naming(self, *, space: str, profile: str | None) -> UnmeasuredError:
        """The same error with these files in its command."""
        return UnmeasuredError(self.lack, self.threads, space, profile or self.profile)


class FormatError(MpsearchError):
    """A file is truncated, corrupt, or of a newer schema."""


class DataError(MpsearchError):
    """A data set is missing or unreadable."""


class TaskError(MpsearchError):
    """A task's own code failed or broke its contract."""


class TrialError(MpsearchError):
    """One trial failed; the study goes on."""


class RunError(MpsearchError):
    """A run folder is locked, unfinished, or does not match."""


class StorageError(MpsearchError):
    """The disk is full, or a path cannot be written."""


class ExportError(MpsearchError):
    """A policy cannot be exported, or a packed model not run."""

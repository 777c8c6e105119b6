"""What `gateway check` says, line by line. docs/how-to/operations.md describes its JSON."""

from dataclasses import dataclass
from typing import Self

from gateway.upkeep.findings import Severity


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of `gateway check`. A note says what is in order; `hint` says what to do."""

    severity: Severity
    subject: str
    text: str
    hint: str = ""

    @classmethod
    def note(cls, subject: str, text: str, hint: str = "") -> Self:
        return cls(Severity.NOTE, subject, text, hint)

    @classmethod
    def warning(cls, subject: str, text: str, hint: str = "") -> Self:
        return cls(Severity.WARNING, subject, text, hint)

    @classmethod
    def error(cls, subject: str, text: str, hint: str = "") -> Self:
        return cls(Severity.ERROR, subject, text, hint)

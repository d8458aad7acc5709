"""Every error that Anamnos raises on purpose: one tree, each with a code, an exit status and a hint.

A message says what was wrong and what was got; the hint says what to do. Whoever gets one of these
may rely on it that nothing has changed. ``to_dict`` is what ``--json`` and the network faces print.
"""

from __future__ import annotations

from typing import Any, ClassVar


class AnamnosError(Exception):
    """The root of all errors of this library.

    message  what was wrong and what was got
    hint     what to do about it; may be empty
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def to_dict(self) -> dict[str, Any]:
        return {"error": self.code, "message": self.message, "hint": self.hint, "retryable": self.retryable}


class InvalidInput(AnamnosError):
    """The caller gave something that cannot be used: the message names the input and what was got."""

    code = "invalid_input"
    exit_code = 2
    http_status = 422


class IllegalTransition(InvalidInput):
    """A memory in its state cannot come into that one; the hint names those that it can."""

    code = "illegal_transition"
    http_status = 409


class BadSignature(InvalidInput):
    """A bundle is not signed, not rightly, or not by whom it should be."""

    code = "bad_signature"


class UnknownPrincipal(InvalidInput):
    """A principal was named that is not registered in the vault."""

    code = "unknown_principal"


class NotFound(AnamnosError):
    """There is no such thing in the named scope."""

    code = "not_found"
    exit_code = 3
    http_status = 404


class AccessDenied(AnamnosError):
    """The caller may not do this."""

    code = "access_denied"
    exit_code = 4
    http_status = 403
    verb: str = ""  # what was refused, and of which memory, for the audit
    cube_id: str | None = None


class Unauthenticated(AnamnosError):
    """A server does not know who asks: no key, or one that does not count (any more)."""

    code = "unauthenticated"
    exit_code = 4
    http_status = 401

    @property
    def headers(self) -> dict[str, str]:
        """What an answer over HTTP says beside it."""
        return {"WWW-Authenticate": 'Bearer realm="anamnos"'}


class Conflict(AnamnosError):
    """Somebody else changed the cube first: read the current version and try again."""

    code = "conflict"
    exit_code = 5
    http_status = 409
    retryable = True

    def __init__(self, message: str, *, hint: str = "", current_version: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.current_version = current_version

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "current_version": self.current_version}


class ConfigError(AnamnosError):
    """A setting, a missing extra or a mismatch found at start: the hint holds the command that fixes it."""

    code = "config"
    exit_code = 6


class MissingExtra(ConfigError):
    """A feature needs packages that are not installed."""

    code = "missing_extra"

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs packages that are not installed.",
            hint=f"Install them with: pip install 'anamnos[{extra}]'",
        )


class StoreError(AnamnosError):
    """The store could not do its work (disk full, read-only folder, I/O error)."""

    code = "store"
    exit_code = 7


class Corrupt(StoreError):
    """A file of the vault is damaged. It is never treated as empty and never overwritten."""

    code = "corrupt"


class Busy(StoreError):
    """Another writer held the store for longer than the time allowed."""

    code = "busy"
    http_status = 503
    retryable = True


class MigrationNeeded(StoreError):
    """The vault was written by a newer version of Anamnos than this one."""

    code = "migration_needed"


class Moved(StoreError):
    """The memories live on in another store, or are on their way into this one: the hint says what to do."""

    code = "moved"


class ProviderError(AnamnosError):
    """A model outside the store (embedder, language model) failed."""

    code = "provider"
    exit_code = 8
    http_status = 502

    def __init__(self, message: str, *, hint: str = "", retryable: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable  # type: ignore[misc]  # per instance here, per class elsewhere


class LimitExceeded(AnamnosError):
    """An input or a result is larger than the limit that the settings allow."""

    code = "limit"
    exit_code = 9
    http_status = 413


class RateLimited(AnamnosError):
    """Too many requests in a short time.

    retry_after_s  seconds after which the next one is taken
    """

    code = "rate_limited"
    exit_code = 9
    http_status = 429
    retryable = True

    def __init__(self, message: str, *, hint: str = "", retry_after_s: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "retry_after_s": self.retry_after_s}

    @property
    def headers(self) -> dict[str, str]:
        """What an answer over HTTP says beside it."""
        return {"Retry-After": str(self.retry_after_s)}

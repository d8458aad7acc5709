"""A service behind a URL that takes and gives JSON, asked again when it is busy: for embedders and language models."""

from __future__ import annotations

import random
import time
from collections.abc import Collection
from threading import Lock
from typing import Any

from anamnos.errors import ConfigError, MissingExtra, ProviderError

FIRST_PAUSE_S = 0.5  # before the first retry; then twice as long each time
LONGEST_PAUSE_S = 60.0


class Service:
    """A client of one service; it keeps its connection between calls, and many threads may use it at once.

    what       as errors name it, such as ``language model``
    base_url   such as ``http://localhost:11434/v1``
    setting    what the user calls that address
    model      the model's name there, for hints
    api_key    sent as a bearer token, and shown nowhere
    timeout_s  the longest wait for a reply
    retries    further attempts after a 429, a 5xx or a broken connection, with growing, jittered pauses
    Raises: ConfigError when it is made, for what is no address, or a number out of range.
    """

    def __init__(
        self, what: str, base_url: str, *, setting: str, model: str, api_key: str | None, timeout_s: float, retries: int
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ConfigError(f"{setting} must start with http:// or https://; got {base_url!r}.")
        if timeout_s <= 0 or retries < 0:
            raise ConfigError("timeout_s must be above 0, and retries at least 0.")
        self.base_url = base_url.rstrip("/")
        self.timeout_s = timeout_s
        self.retries = retries
        self._what = what
        self._model = model
        self._api_key = api_key
        self._client: Any = None
        self._lock = Lock()

    def post(self, path: str, body: dict[str, Any], *, accept: Collection[int] = ()) -> Any:
        """Return the response to ``body``, after as many retries as are needed and allowed.

        accept  statuses of failure that the caller sees to
        Raises: ProviderError for every other failure; MissingExtra without the package that connects.
        """
        httpx2 = self._httpx2()
        for attempt in range(self.retries + 1):
            asked_pause = ""
            try:
                response = self._connect().post(f"{self.base_url}{path}", json=body)
            except httpx2.TransportError as exc:  # no connection, or no reply in time
                failure = self.failure(f"did not answer: {type(exc).__name__} {exc}", retryable=True)
                failure.__cause__ = exc
            else:
                if response.is_success or response.status_code in accept:
                    return response
                busy = response.status_code == 429 or response.status_code >= 500
                failure = self.failure(f"said {response.status_code}: {response.text[:300]}", retryable=busy)
                asked_pause = response.headers.get("retry-after", "")
            if not failure.retryable or attempt == self.retries:
                raise failure
            pause = FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311  # jitter, no secret
            if asked_pause.isdecimal():
                pause = max(pause, float(asked_pause))
            time.sleep(min(pause, LONGEST_PAUSE_S))
        raise AssertionError("unreachable")

    def failure(self, did: str, *, retryable: bool = False) -> ProviderError:
        """Return an error that says what the service did wrong, without its key."""
        message = f"The {self._what} at {self.base_url} {did}."
        if self._api_key:
            message = message.replace(self._api_key, "***")  # servers quote the key that they refuse
        hint = f"Check the URL, the key and the model {self._model}."
        return ProviderError(message, hint=hint, retryable=retryable)

    def close(self) -> None:
        """Close the connection; the next ``post`` opens a new one."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connect(self) -> Any:
        with self._lock:
            if self._client is None:
                headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
                self._client = self._httpx2().Client(timeout=self.timeout_s, headers=headers)
            return self._client

    def _httpx2(self) -> Any:
        try:
            import httpx2
        except ImportError as exc:
            raise MissingExtra(f"The {self._what} behind a URL", "server") from exc
        return httpx2

"""Guessing of keys, rates per key and per address, and where keys may be seen."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from attackers import BASE, bearer
from starlette.testclient import TestClient

from anamnos import Memory
from anamnos.config import ServerSettings
from anamnos.server.app import create_app
from anamnos.testing import FakeEmbedder

LIMIT = 5


def opened(folder: Path, **settings: Any) -> tuple[TestClient, Memory]:
    memory = Memory(folder / "vault", embedder=FakeEmbedder())
    app = create_app(memory, ServerSettings(**{"rate_per_minute": LIMIT, "web": "off", **settings}))
    return TestClient(app, base_url=BASE, raise_server_exceptions=False), memory


def test_who_guesses_keys_is_slowed_down_and_locks_nobody_out(tmp_path: Path) -> None:
    client, memory = opened(tmp_path)
    with client:
        key = memory.keys.create("app")
        guesses = [f"anm_{key.id}_{n:043d}" for n in range(2 * LIMIT)]
        said = [client.get("/v1/me", headers=bearer(guess)) for guess in guesses]
        assert [answer.status_code for answer in said] == [401] * LIMIT + [429] * LIMIT
        assert int(said[-1].headers["retry-after"]) > 0
        assert len({answer.text for answer in said[:LIMIT]}) == 1  # nothing tells how close a guess was
        unknown = client.get("/v1/me", headers=bearer(f"anm_{'0' * 12}_{'x' * 43}"))
        assert unknown.status_code == 429  # whose guess it is counts, not which key
        assert client.get("/v1/me", headers=bearer(key.text)).status_code == 200


def test_each_key_has_its_own_rate(tmp_path: Path) -> None:
    client, memory = opened(tmp_path)
    with client:
        one, other = (bearer(memory.keys.create(name).text) for name in ("one", "other"))
        assert [client.get("/v1/me", headers=one).status_code for _ in range(LIMIT + 1)] == [200] * LIMIT + [429]
        assert client.get("/v1/me", headers=other).status_code == 200
        assert client.get("/healthz").status_code == 200  # whoever looks whether it lives is not counted


def test_a_key_is_told_once_and_kept_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    client, memory = opened(tmp_path, rate_per_minute=0)
    with client:
        root = memory.keys.create("root", operator=True).text
        made = client.post("/v1/keys", json={"name": "backend"}, headers=bearer(root))
        key = made.json()["key"]
        assert made.headers["cache-control"] == "no-store"
        for path in ("/v1/keys", "/v1/audit", "/v1/me", "/v1/stats", "/metrics", "/v1/verify"):
            said = client.get(path, headers=bearer(root))
            assert said.status_code == 200 and key not in said.text and root not in said.text, path
        wrong = client.get("/v1/me", headers=bearer(key[:-1] + ("A" if key[-1] != "A" else "B")))
        assert wrong.status_code == 401 and key[:20] not in wrong.text
    held = b"".join(path.read_bytes() for path in sorted((tmp_path / "vault").rglob("*")) if path.is_file())
    assert key.encode() not in held and root.encode() not in held
    assert not [record for record in caplog.records if "anm_" in record.getMessage()]


def test_a_browser_is_started_without_the_key_among_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Words of a command are seen by every account of the machine; a file of one's own is not."""
    from anamnos.cli import serve as command
    from anamnos.cli.main import main
    from anamnos.server import running

    seen: list[tuple[str, str, int]] = []

    def looked(url: str) -> bool:
        path = Path(url.removeprefix("file://"))
        seen.append((url, path.read_text("utf-8"), stat.S_IMODE(path.parent.stat().st_mode)))
        return True

    def run(app: Any, at: Any, *, ready: Any) -> None:
        ready()
        at.close()
        app.state.serving.pool.close()

    monkeypatch.setattr(command.webbrowser, "open", looked)
    monkeypatch.setattr(running, "run", run)
    words = ["serve", "--vault", str(tmp_path / "vault"), "--embedder", "hashing", "--port", "0", "--open", "--json"]
    monkeypatch.setattr("sys.argv", ["anamnos", *words])
    with pytest.raises(SystemExit):
        main()
    key = json.loads(capsys.readouterr().out)["key"]
    ((url, page, mode),) = seen
    assert key not in url and key in page and mode == 0o700
    assert not Path(url.removeprefix("file://")).exists()  # it goes with the server

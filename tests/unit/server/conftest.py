"""A client of a small server, for the tests of the REST face."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rest import served
from starlette.testclient import TestClient


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with served(tmp_path / "vault") as client:
        yield client

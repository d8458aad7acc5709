"""What all tests share: how many examples hypothesis tries, and a clock and ids that repeat."""

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite(
    "anamnos.testing.store_contract",
    "anamnos.testing.embedder_contract",
    "anamnos.testing.index_contract",
    "anamnos.testing.jobs_contract",
)

from anamnos.cube import IdSource  # noqa: E402
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids  # noqa: E402
from engines import postgres_server, postgres_url  # noqa: E402, F401  (fixtures)

# pytest --hypothesis-profile=thorough tries harder.
settings.register_profile("dev", max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", parent=settings.get_profile("dev"), max_examples=1_000)
settings.load_profile("dev")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def new_id() -> IdSource:
    return seeded_ids(1)


@pytest.fixture
def embedder() -> FakeEmbedder:
    return FakeEmbedder()

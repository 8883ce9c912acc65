from collections.abc import Iterator

import pytest

from tests.bus.redis_server import RedisServer, redis_server


@pytest.fixture(scope="session")
def redis(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """One Redis for all tests that leave it as usable as they found it."""
    with redis_server() as server:
        yield server

from collections.abc import Iterator

import pytest

from tests.bus.redis_cluster import RedisCluster, redis_cluster
from tests.bus.redis_server import HINT, RedisServer, redis_server
from tests.conftest import find_binary


@pytest.fixture(scope="session")
def redis_binary() -> str:
    """The path of redis-server; without it the test is skipped, and in CI it fails."""
    return find_binary("redis-server", HINT)


@pytest.fixture(scope="session")
def redis(redis_binary: str) -> Iterator[RedisServer]:
    """One Redis for all tests that leave it as usable as they found it."""
    with redis_server(redis_binary) as server:
        yield server


@pytest.fixture(scope="session")
def cluster(redis_binary: str) -> Iterator[RedisCluster]:
    """One Redis Cluster of three masters for all tests."""
    with redis_cluster(redis_binary) as three:
        yield three

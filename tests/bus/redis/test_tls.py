"""A Redis over TLS with a password: it works, and when it cannot, one line says why, without the password."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from scalechat.wire.messages import Publication
from tests.bus.opening import open_redis_url
from tests.bus.redis.test_arriving import why_not
from tests.bus.redis_server import redis_server
from tests.ports import unused_port

PASSWORD = "p%40ss-secret"
"""As a URL has it; Redis knows it as ``p@ss-secret``."""


@dataclass(frozen=True, slots=True)
class TlsRedis:
    port: int
    authority: Path

    def url(self, password: str = PASSWORD, authority: Path | None = None) -> str:
        return f"rediss://:{password}@127.0.0.1:{self.port}?ca={authority or self.authority}"


@pytest.fixture(scope="module")
def tls_redis(redis_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    port = unused_port()
    options: tuple[str, ...] = ("--tls-port", str(port), "--bind", "127.0.0.1", "--tls-auth-clients", "no")
    files = {"cert": "server.pem", "key": "server.pem", "ca-cert": "ca.pem"}
    for option, name in files.items():
        options += (f"--tls-{option}-file", str(folder / name))
    with redis_server(redis_binary, *options) as redis:
        redis.cli("config", "set", "requirepass", PASSWORD.replace("%40", "@"))
        yield TlsRedis(port, folder / "ca.pem")


async def test_messages_pass_and_are_kept(tls_redis: TlsRedis) -> None:
    """Published, delivered, and there for whoever comes next."""
    async with open_redis_url(tls_redis.url()) as node:
        await node.bus.follow("tea")
        await node.bus.publish("tea", "alice", "hi")
        await node.settle()
        assert [event.text for event in node.events if isinstance(event, Publication)] == ["hi"]
    async with open_redis_url(tls_redis.url()) as next_one:
        assert [publication.text for publication in (await next_one.bus.follow("tea")).publications] == ["hi"]


@pytest.mark.parametrize("password", ["wrong-secret", ""])
async def test_a_wrong_password_is_said_and_not_shown(tls_redis: TlsRedis, password: str) -> None:
    """Nor the right one."""
    line = await why_not(tls_redis.url(password))
    assert ("it asks for a password", "does not accept the user name or password")[bool(password)] in line
    assert "secret" not in line


async def test_a_certificate_of_somebody_else_is_refused(tls_redis: TlsRedis, tmp_path: Path) -> None:
    """With what to do about it, and nothing is sent to whoever that is."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    line = await why_not(tls_redis.url(authority=other))
    assert "its certificate is not accepted" in line
    assert "?ca=FILE" in line
    assert "secret" not in line

"""Certificates: whom `--ca-file` and `--insecure` trust, and what is said of one that is not trusted. Real OpenSSL, no
network: both ends of a handshake are in memory."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from scalechat.client.tls import tls_context, what_is_wrong
from scalechat.config import UsageError

AUTHORITY = trustme.CA()


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


def shake_hands(client: ssl.SSLContext, certificate: trustme.LeafCert, name: str) -> ssl.SSLError | None:
    """Why the client refused; None when it did not."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(server)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname=name),
        server.wrap_bio(up, down, server_side=True),
    ]
    while ends:
        try:
            ends[0].do_handshake()
            ends.pop(0)
        except ssl.SSLWantReadError:
            ends.reverse()
        except ssl.SSLError as error:
            return error
    return None


@pytest.mark.parametrize(
    "names, not_after, words",
    [
        (["localhost"], None, None),
        (["other.example"], None, "its certificate is not valid for 'localhost'; --server-url must have a name"),
        (["localhost"], datetime(2020, 1, 1, tzinfo=UTC), "its certificate has expired"),
    ],
)
def test_a_certificate_is_refused_in_words(
    names: list[str], not_after: datetime | None, words: str | None, ca_file: Path
) -> None:
    """What is wrong with it, and what can be done; one that is right is taken. Insecurely, all are."""
    certificate = AUTHORITY.issue_cert(*names, not_after=not_after)
    refused = shake_hands(tls_context(ca_file), certificate, "localhost")
    assert (refused is None) == (words is None)
    if refused is not None and words is not None:
        assert what_is_wrong(refused).startswith(words)
    assert shake_hands(tls_context(insecure=True), certificate, "localhost") is None


def test_an_authority_nobody_knows_is_to_be_named(ca_file: Path) -> None:
    """By --ca-file; a self-signed certificate is its own authority."""
    for context in (tls_context(), tls_context(ca_file)):
        refused = shake_hands(context, trustme.CA().issue_cert("localhost"), "localhost")
        assert refused is not None
        assert what_is_wrong(refused).startswith("nobody trusted here has signed its certificate (")
        assert "--ca-file names a file with who has" in what_is_wrong(refused)


def test_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    """Missing, or something else."""
    with pytest.raises(UsageError, match=r"--ca-file .*none\.pem cannot be read: No such file or directory"):
        tls_context(tmp_path / "none.pem")
    (tmp_path / "other.pem").write_text("certainly not")
    with pytest.raises(UsageError, match=r"--ca-file .*other\.pem holds no certificates"):
        tls_context(tmp_path / "other.pem")

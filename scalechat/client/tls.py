"""Whom to trust as a server, and how a certificate that is not trusted is told of: once for all who dial."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from scalechat.config import UsageError

# OpenSSL's verify results (x509_vfy.h), which Python hands on as numbers.
_EXPIRED: Final = 10
_UNTRUSTED: Final = frozenset((18, 19, 20, 21))
_OTHER_NAME: Final = frozenset((62, 64))


def tls_context(ca_file: Path | None = None, *, insecure: bool = False) -> ssl.SSLContext:
    """What is trusted: the system's authorities, or only those in `ca_file`, or with `insecure` anybody.

    Raises:
        UsageError: the file cannot be read, or holds no certificates.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise UsageError(
            f"--ca-file {ca_file} holds no certificates in PEM ({getattr(error, 'reason', None) or error})"
        ) from None
    except OSError as error:
        raise UsageError(f"--ca-file {ca_file} cannot be read: {error.strerror}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def what_is_wrong(error: ssl.SSLError) -> str:
    """Why a handshake failed, in words, with what to do about it."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"no TLS ({getattr(error, 'reason', None) or error}); check ws:// or wss:// in --server-url"
    said = error.verify_message.rstrip(".")
    if error.verify_code in _UNTRUSTED:
        return f"nobody trusted here has signed its certificate ({said}); --ca-file names a file with who has"
    if error.verify_code in _OTHER_NAME:
        return f"its {said[said.find('certificate') :]}; --server-url must have a name that is in it"
    return "its certificate has expired" if error.verify_code == _EXPIRED else f"its certificate is refused ({said})"

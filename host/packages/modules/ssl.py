"""Takes the place of a module that the sandbox does not have, for packages that import it in any case:
the names that are used before anything connects. The sandbox has no network."""

import enum

# What it would have to be at least for packages that check it when they are imported.
OPENSSL_VERSION = "OpenSSL 3.0.0 (a stand-in: the sandbox has none)"
OPENSSL_VERSION_INFO = (3, 0, 0, 0, 0)
OPENSSL_VERSION_NUMBER = 0x30000000


class SSLError(OSError):
    pass


class SSLZeroReturnError(SSLError):
    pass


class SSLWantReadError(SSLError):
    pass


class SSLWantWriteError(SSLError):
    pass


class SSLSyscallError(SSLError):
    pass


class SSLEOFError(SSLError):
    pass


class SSLCertVerificationError(SSLError, ValueError):
    pass


CertificateError = SSLCertVerificationError


class VerifyMode(enum.IntEnum):
    CERT_NONE = 0
    CERT_OPTIONAL = 1
    CERT_REQUIRED = 2


CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED = VerifyMode


def _missing(*args, **kwargs):
    raise SSLError("ssl is not in the sandbox, which has no network")


class SSLContext:
    __init__ = _missing


class SSLObject:
    __init__ = _missing


class SSLSocket:
    __init__ = _missing


class MemoryBIO:
    __init__ = _missing


create_default_context = _create_unverified_context = _create_default_https_context = _missing

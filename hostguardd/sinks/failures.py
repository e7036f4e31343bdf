"""What goes wrong with a connection, in words: one sentence that says who, what, and what to look at.

The rule: tables, not branches. A number of the kernel's or a name of OpenSSL's that no table has is shown as
it is.

Sources: errno(3), the table of X509_STORE_CTX_get_error(3), RFC 8446 section 6.2 for the alerts of TLS.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Mapping
from typing import Final

from ..destinations import Destination
from ..record import clean
from .interface import SinkError

_FAILURES: Final[Mapping[int, str]] = {
    errno.ECONNREFUSED: "refuses the connection: nothing listens there, or a firewall rejects it",
    errno.EHOSTUNREACH: "cannot be reached: there is no route to that host, or it is down",
    errno.ENETUNREACH: "cannot be reached: this host has no route to that network",
    errno.EACCES: "may not be connected to: a rule of this host (firewall, SELinux, sandbox) forbids it",
    errno.EPERM: "may not be connected to: a rule of this host (firewall, SELinux, sandbox) forbids it",
    errno.ECONNRESET: "broke the connection off",
    errno.EPIPE: "closed the connection",
    errno.ENOTCONN: "closed the connection",
    errno.ETIMEDOUT: "does not answer: the connection timed out",
    errno.EADDRNOTAVAIL: "cannot be reached: this host has no address to reach it from",
    errno.EAFNOSUPPORT: "cannot be reached: this host does not speak that kind of address",
}

_VERIFY: Final[Mapping[int, str]] = {
    9: "its certificate is not valid yet; is the clock of both hosts right?",
    10: "its certificate has expired",
    2: "its certificate was issued by a CA that is not trusted here; check `ca`",
    18: "its certificate is signed by itself and not trusted here; check `ca`",
    19: "its certificate was issued by a CA that is not trusted here; check `ca`",
    20: "its certificate was issued by a CA that is not trusted here; check `ca`",
    21: "its certificate was issued by a CA that is not trusted here; check `ca`",
    23: "its certificate was revoked",
    24: "its certificate was issued by one that is no CA; check `ca`",
    26: "its certificate is not for a server (extended key usage)",
}
"""verify_code, as X509_STORE_CTX_get_error(3) lists them; 62 to 64 are about names."""

_ALERTS: Final = (
    ("CERTIFICATE_REQUIRED", "demands a certificate of us: set `certificate` and `key`"),
    ("ALERT_UNKNOWN_CA", "does not trust the CA of our certificate"),
    ("ALERT_CERTIFICATE_EXPIRED", "says that our certificate has expired"),
    ("ALERT_CERTIFICATE_REVOKED", "says that our certificate was revoked"),
    ("ALERT_BAD_CERTIFICATE", "does not accept our certificate"),
    ("ALERT_UNSUPPORTED_CERTIFICATE", "does not accept our kind of certificate"),
    ("ALERT_ACCESS_DENIED", "does not let the owner of our certificate in"),
    ("ALERT_UNRECOGNIZED_NAME", "serves no such name: check `server_name`"),
    ("ALERT_HANDSHAKE_FAILURE", "shares no cipher with us, or demands a certificate: see its own log"),
    ("PROTOCOL_VERSION", "speaks no TLS of 1.2 or later"),
    ("UNSUPPORTED_PROTOCOL", "speaks no TLS of 1.2 or later"),
    ("WRONG_VERSION_NUMBER", "answers with something that is no TLS: is that port for plain text?"),
    ("HTTP_REQUEST", "answers with something that is no TLS: is that port for plain text?"),
    ("UNKNOWN_PROTOCOL", "answers with something that is no TLS: is that port for plain text?"),
    ("PACKET_LENGTH_TOO_LONG", "answers with something that is no TLS: is that port for plain text?"),
    ("RECORD_LAYER_FAILURE", "answers with something that is no TLS: is that port for plain text?"),
)
"""Parts of what OpenSSL calls it (`SSLError.reason`), and what it means."""


def failure(to: Destination, error: OSError) -> SinkError:
    """What went wrong with a destination, for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return SinkError(f"{to.place} is not who we want to talk to: {_distrust(to, error)}")
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return SinkError(f"{to.place} closed the connection")
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        for part, meaning in _ALERTS:
            if part in reason:
                return SinkError(f"{to.place} {meaning}")
        return SinkError(f"{to.place}: TLS fails: {clean(reason.replace('_', ' ').lower())}")
    if isinstance(error, TimeoutError) and error.errno is None:
        return SinkError(f"{to.place} does not answer within {to.timeout:g} s")
    said = _FAILURES.get(error.errno or 0) or f"fails: {clean(error.strerror or str(error))}"
    return SinkError(f"{to.place} {said}")


def unproven(to: Destination, error: SinkError) -> SinkError:
    """The same of a connection on which nothing has gone well yet: a port for TLS answers plain text so."""
    if to.tls or "tls = true" in str(error):
        return error
    return SinkError(f"{error}; if that port is for TLS, set tls = true")


def expected(to: Destination) -> str:
    """The name or address that the certificate must have. Neither a zone nor a final dot is part of it."""
    return to.server_name or to.address[0].partition("%")[0].rstrip(".")


def _distrust(to: Destination, error: ssl.SSLCertVerificationError) -> str:
    code = error.verify_code
    if code in (62, 63, 64):
        return f"its certificate is not for {expected(to)}; check `server_name`"
    return _VERIFY.get(code) or clean(error.verify_message or str(error))

"""TLS to a destination: 1.2 or later, and verified.

The chain is verified against `ca` alone where it is set, else against the system's; then the name or the
address (RFC 5425, section 5.2; RFC 9525). The rule: a file of ours that cannot be used is named.
"""

from __future__ import annotations

import socket
import ssl

from ..destinations import Destination
from ..record import clean
from .failures import expected, failure
from .interface import SinkError


def prepared(to: Destination) -> ssl.SSLContext:
    """What is verified, and with which of our files; read anew each time, for certificates are renewed."""
    for key, path in (("ca", to.ca), ("certificate", to.certificate), ("key", to.key)):
        _readable(to, key, path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if to.ca:
            context.load_verify_locations(cafile=to.ca)
            # What is in `ca` is trusted, be it a root, an issuer or the server's own certificate.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        else:
            context.load_default_certs()
    except (ssl.SSLError, OSError):
        raise SinkError(f"{to.place}: ca = {to.ca} holds no certificate that can be read (PEM)") from None
    if to.certificate:
        try:
            # Without an answer to give, OpenSSL would ask the terminal for the password.
            context.load_cert_chain(to.certificate, to.key, password=lambda: "")
        except ssl.SSLError as error:
            if "MISMATCH" in (error.reason or ""):
                raise SinkError(f"{to.place}: key = {to.key} is not the key of {to.certificate}") from None
            raise SinkError(
                f"{to.place}: {to.certificate} or {to.key} holds no certificate or key that can be read"
                " (PEM, the key without a password)"
            ) from None
    return context


def wrapped(context: ssl.SSLContext, plain: socket.socket, to: Destination) -> ssl.SSLSocket:
    """TLS over a connection, `greet` yet to come."""
    name = expected(to)
    try:
        # Tried without the socket first: with it, a name that cannot be one leaves it open and out of reach.
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
    except (ValueError, TypeError):
        raise SinkError(f"{to.place}: {clean(name)} cannot be the name of a server") from None
    return context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False)


def greet(tls: ssl.SSLSocket, to: Destination) -> None:
    """The handshake."""
    question = "is that port for plain text?"
    tls.settimeout(to.timeout)
    try:
        tls.do_handshake()
    except TimeoutError:
        raise SinkError(f"{to.place} does not answer our TLS greeting: {question}") from None
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError):
        raise SinkError(f"{to.place} closed the connection on our TLS greeting: {question}") from None
    except OSError as error:
        raise failure(to, error) from None


def _readable(to: Destination, key: str, path: str) -> None:
    if path:
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise SinkError(f"{to.place}: {key} = {path} cannot be read: {error.strerror}") from None

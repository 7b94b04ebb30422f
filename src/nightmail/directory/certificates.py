"""The certificates of the replicas: an authority made from the servers' secret, and a certificate for each server.

Every server makes the same authority by itself, so that nothing has to be carried about, and nothing expires at night:
who is to be trusted no more is shut out by another secret. Any 32 octets are an Ed25519 key, and it signs the same text
the same way every time (RFC 8032 §5.1.5, §5.1.6).
"""

from __future__ import annotations

import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nightmail.directory.accounts import derive
from nightmail.directory.replica import TlsFiles

_FROM = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_UNTIL = datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)
_AUTHORITY = "nightmail directory"
_SERIAL_BYTES = 16


def write_authority(path: str, secret: bytes) -> None:
    """Write the authority's certificate, for whoever connects to a replica. Raises: OSError."""
    _write(path, _authority(secret).public_bytes(Encoding.PEM), 0o644)


def write_certificates(directory: str, secret: bytes, server: str, host: str) -> TlsFiles:
    """Write what the replica of `server` needs, which others reach at `host`, an IP address or a name.

    Raises:
        OSError: it can't be written.
    """
    files = TlsFiles(*(os.path.join(directory, f"{name}.pem") for name in ("authority", "certificate", "key")))
    key = _key(secret, f"key of {server}")
    write_authority(files.authority, secret)
    _write(files.certificate, _certificate(secret, key, server, host).public_bytes(Encoding.PEM), 0o644)
    _write(files.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    return files


def _authority(secret: bytes) -> x509.Certificate:
    key = _key(secret, "authority")
    return (
        _builder(_AUTHORITY, key, derive(secret, "serial of the authority"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(key, None)
    )


def _certificate(secret: bytes, key: Ed25519PrivateKey, server: str, host: str) -> x509.Certificate:
    return (
        _builder(server, key, derive(secret, f"serial of {server} at {host}"))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        .sign(_key(secret, "authority"), None)
    )


def _builder(name: str, key: Ed25519PrivateKey, serial: bytes) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_distinguished(name))
        .issuer_name(_distinguished(_AUTHORITY))
        .public_key(key.public_key())
        .serial_number(int.from_bytes(serial[:_SERIAL_BYTES], "big") | 1)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _distinguished(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key(secret: bytes, purpose: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(derive(secret, purpose))


def _write(path: str, pem: bytes, mode: int) -> None:
    """Write a file in one step: whoever reads it sees the old one or the new one."""
    unfinished = f"{path}.new"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(pem)
    os.replace(unfinished, path)

"""A certificate authority of the test's own."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import trustme


class Authority:
    """Signs certificates for ``localhost`` and ``127.0.0.1``; all files are in one folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._authority = trustme.CA(organization_name=name)
        self.file = folder / f"{name}.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def sign(self, name: str, *hosts: str) -> tuple[Path, Path, str]:
        """The certificate's file, its key's file, and the certificate's SHA-256 fingerprint; its
        common name is ``name``."""
        signed = self._authority.issue_cert(*hosts or ("localhost", "127.0.0.1"), common_name=name)
        (certificate,) = signed.cert_chain_pems
        file, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_to_path(str(file))
        signed.private_key_pem.write_to_path(str(key))
        encoded = ssl.PEM_cert_to_DER_cert(certificate.bytes().decode())
        return file, key, hashlib.sha256(encoded).hexdigest()

    def server_context(self, name: str = "server", *hosts: str) -> ssl.SSLContext:
        file, key, _ = self.sign(name, *hosts)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file, key)
        return context

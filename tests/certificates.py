"""Certificates for tests, made by openssl(1) in a folder of the test's own."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A CA, and what it issues: certificates for names and addresses as in `DNS:logs,IP:127.0.0.1`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._name = name
        folder.mkdir(parents=True, exist_ok=True)
        self.root = Issued(folder / f"{name}.pem", folder / f"{name}.key")
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", f"/CN={name}", "-keyout", self.root.key, "-out", self.root.certificate,
        )  # fmt: skip

    def issue(self, name: str, names: str = "IP:127.0.0.1,DNS:localhost", days: int = 30) -> Issued:
        """A certificate; of less than no days, one that has expired."""
        made = Issued(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n")
        self._openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", made.key, "-out", request,
        )  # fmt: skip
        self._openssl(
            "x509", "-req", "-in", request, "-CA", self.root.certificate, "-CAkey", self.root.key,
            "-set_serial", str(abs(hash(name)) % 10**9), "-days", str(days), "-extfile", extensions,
            "-out", made.certificate,
        )  # fmt: skip
        return made

    @staticmethod
    def _openssl(*words: object) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

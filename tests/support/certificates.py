"""Certificates for tests that speak TLS."""

import subprocess
from pathlib import Path

from tests.conftest import require_program


def self_signed(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for the host `name`, and its key; PEM files in the folder."""
    chain, key = folder / "chain.pem", folder / "key.pem"
    subprocess.run(
        [require_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-out", str(chain), "-keyout", str(key)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return chain, key

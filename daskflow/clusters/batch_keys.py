"""Keys: what lets this run's scheduler, client and workers talk to each other, and nobody else, as files in a folder.

Every process has the same certificate, which is its own authority: who has it belongs to the run. It is made anew for
every opening, lives on the disk that nodes share as long as the cluster is open, and is worth nothing afterwards.
"""

from __future__ import annotations

import datetime
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskflow.core.errors import StorageError

if TYPE_CHECKING:
    from distributed.security import Security

EARLIER = datetime.timedelta(days=2)
"""The certificate is valid since then: a node whose clock is behind must not take it for one of the future."""

LATER = datetime.timedelta(days=400)

CERT_FILE, KEY_FILE = "cert.pem", "key.pem"
"""Files in the folder of keys: the certificate, which is the authority as well, and the private key."""

TOLD = "worker.json"
"""What a worker's process is told beside the keys; see `Keys.write`."""

FILES = (CERT_FILE, KEY_FILE, TOLD)


@dataclass(frozen=True, slots=True)
class Keys:
    """The files of one opening.

    Attributes
    ----------
    folder : Path
        Only its owner may look into it.
    """

    folder: Path

    def write(self, told: Mapping[str, Any]) -> Security:
        """Make a new key, write the files, and return what this process uses of them.

        Parameters
        ----------
        told : mapping
            Plain values for the processes of workers, see `read_told`.

        Raises
        ------
        StorageError
            When the folder cannot be written, or its file system lets others read what it must not.
        """
        certificate, private = _certificate()
        self.remove()
        try:
            self.folder.mkdir(mode=0o700)
            self.folder.chmod(0o700)
            contents = (certificate, private, json.dumps(told).encode())
            for name, content in zip(FILES, contents, strict=True):
                with open(os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(content)
            open_to = stat.S_IMODE(self.folder.stat().st_mode) & 0o077
        except OSError as error:
            self.remove()
            raise StorageError(
                f"The keys of the cluster cannot be written to {self.folder}: {error.strerror}. "
                "Choose another folder that nodes see with cluster.shared."
            ) from error
        if open_to:
            self.remove()
            raise StorageError(
                f"The file system of {self.folder} keeps no permissions, so others could read the cluster's keys. "
                "Choose another folder that nodes see with cluster.shared."
            )
        return security_of(certificate.decode(), private.decode())

    def security(self) -> Security:
        """Return what a process that joins uses: the same files, for a client or a worker."""
        return security_of(str(self.folder / CERT_FILE), str(self.folder / KEY_FILE))

    def remove(self) -> None:
        """Remove the files, and the folder when it holds nothing else; ones that an earlier process left, too."""
        for name in FILES:
            with suppress(OSError):
                (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()


def security_of(certificate: str, private: str) -> Security:
    """Return Dask's settings for every role; texts or the paths of files."""
    from distributed.security import Security

    roles = {f"tls_{role}_cert": certificate for role in ("client", "scheduler", "worker")}
    roles |= {f"tls_{role}_key": private for role in ("client", "scheduler", "worker")}
    return Security(require_encryption=True, tls_ca_file=certificate, **roles)


def read_told(folder: Path) -> dict[str, Any]:
    """Return what a worker's process is told; empty where there is nothing."""
    try:
        return dict(json.loads((folder / TOLD).read_text()))
    except (OSError, ValueError):
        return {}


def _certificate() -> tuple[bytes, bytes]:
    """Return a new certificate, signed by itself, and its private key, both in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "daskflow")])
    now = datetime.datetime.now(tz=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + LATER)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private

"""The store of certificates that Chromium asks on Linux, written by NSS itself through its C interface.

Sources: NSS, nss.h, cert.h, pk11pub.h; Chromium, docs/linux/cert_management.md: it reads `$HOME/.pki/nssdb`.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

# CERTDB_VALID_CA | CERTDB_TRUSTED_CA: for servers. Source: NSS, certt.h.
_TRUSTED_CA = (1 << 3) | (1 << 4)


class _Item(ctypes.Structure):
    _fields_ = [("type", ctypes.c_uint), ("data", ctypes.c_char_p), ("length", ctypes.c_uint)]


class _Trust(ctypes.Structure):
    _fields_ = [("ssl", ctypes.c_uint), ("email", ctypes.c_uint), ("signing", ctypes.c_uint)]


def trust(home: Path, certificate: Path) -> None:
    """Let a Chromium whose HOME is `home` trust the authority in the DER file `certificate`; nothing else changes."""
    (home / ".pki" / "nssdb").mkdir(parents=True)
    # In a process of its own: NSS keeps what it once has opened.
    subprocess.run([sys.executable, __file__, str(home / ".pki" / "nssdb"), str(certificate)], check=True)


def _store(folder: str, content: bytes) -> None:
    nss = ctypes.CDLL("libnss3.so")
    for name in ("PK11_GetInternalKeySlot", "CERT_GetDefaultCertDB", "CERT_NewTempCertificate"):
        getattr(nss, name).restype = ctypes.c_void_p
    _demand(nss.NSS_InitReadWrite(f"sql:{folder}".encode()) == 0, "open")
    slot = ctypes.c_void_p(nss.PK11_GetInternalKeySlot())
    _demand(nss.PK11_InitPin(slot, b"", b"") == 0, "pin")
    database, item = ctypes.c_void_p(nss.CERT_GetDefaultCertDB()), _Item(0, content, len(content))
    certificate = ctypes.c_void_p(nss.CERT_NewTempCertificate(database, ctypes.byref(item), None, 0, 1))
    _demand(bool(certificate), "decode")
    _demand(nss.PK11_ImportCert(slot, certificate, ctypes.c_ulong(0), b"soro", 0) == 0, "import")
    trusted = _Trust(_TRUSTED_CA, 0, 0)
    _demand(nss.CERT_ChangeCertTrust(database, certificate, ctypes.byref(trusted)) == 0, "trust")
    nss.CERT_DestroyCertificate(certificate)
    nss.PK11_FreeSlot(slot)
    nss.NSS_Shutdown()


def _demand(is_done: bool, step: str) -> None:
    if not is_done:
        raise RuntimeError(f"NSS would not {step}")


if __name__ == "__main__":
    _store(sys.argv[1], Path(sys.argv[2]).read_bytes())

"""The claim sheet's text, as its QR holds it and as people paste it (protocol §2.1).

`SORO1.CODE.ROOT.AUTHORITY.ADDRESS`: no character in it means anything to a shell, and blanks and line breaks that came
in on the way do not matter. AUTHORITY is empty where the centre's web server needs no authority of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from federation.errors import WireError

_ADDRESS = r"https?://[^\s/?#]+"
_FORM = re.compile(rf"SORO1\.([0-9A-Za-z-]{{10,12}})\.([0-9a-f]{{64}})\.([0-9a-f]{{64}}|)\.({_ADDRESS})/?", re.ASCII)


class SheetMalformed(WireError):
    """The text is not that of a claim sheet."""

    code = "sheet_malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """All that a PC must be told to become a node of its school."""

    code: str
    root_sha256: str
    """Of the TUF root."""
    authority_sha256: str
    """Of the PEM certificates that vouch for the centre's web server; empty: the system's own authorities."""
    address: str
    """Of the centre, without a path."""


def sheet_text(sheet: Sheet) -> str:
    """Return the one line that stands for `sheet`."""
    code = sheet.code.replace("-", "")
    return f"SORO1.{code}.{sheet.root_sha256}.{sheet.authority_sha256}.{sheet.address.rstrip('/')}"


def sheet_read(text: str) -> Sheet:
    """Return the sheet that `text` spells.

    Raises:
        SheetMalformed: a part is missing, or is not of its form.
    """
    found = _FORM.fullmatch("".join(text.split()))
    if found is None:
        raise SheetMalformed
    code, root_sha256, authority_sha256, address = found.groups()
    return Sheet(code=code, root_sha256=root_sha256, authority_sha256=authority_sha256, address=address)


def is_address(text: str) -> bool:
    """Tell whether `text` is an address as a sheet names one: a scheme and a host, without a path."""
    return re.fullmatch(_ADDRESS, text, re.ASCII) is not None

"""The claim code's form: ten Crockford base32 characters (50 bits), read as typed, kept as a keyed digest."""

from __future__ import annotations

import secrets

from django.utils.crypto import salted_hmac

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 10
LIFE_DAYS = 30
# Crockford's base32 reads these look-alikes as one another. Source: crockford.com/base32.html, "Decode symbol".
_READ_AS = str.maketrans("ILO", "110", "- \t")


def claim_code_draw() -> str:
    """Return a new random code as it is shown: XXXXX-XXXXX."""
    drawn = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return f"{drawn[:5]}-{drawn[5:]}"


def claim_code_digest(code: str) -> str:
    """Return the keyed digest under which `code` is kept, the same for every way of typing it."""
    typed = code.upper().translate(_READ_AS)
    return salted_hmac("central.schools.claim_code", typed, algorithm="sha256").hexdigest()

"""Why somebody is not let in."""

from __future__ import annotations

from federation.errors import TrustError


class SignInLocked(TrustError):
    """Too many sign-ins have failed, by this name from this address or at all; wait `minutes`."""

    code = "signin_locked"


class SecondFactorWrong(TrustError):
    """The code is not the one that the telephone shows now, was used before, or is no unused recovery code."""

    code = "second_factor_wrong"


class SecondFactorLocked(TrustError):
    """Too many codes were wrong; after `seconds` the next is heard."""

    code = "second_factor_locked"

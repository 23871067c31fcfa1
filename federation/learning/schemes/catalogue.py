"""From a plan's word for its scheme to the scheme."""

from __future__ import annotations

from federation.learning.schemes.fed_sb import FedSb
from federation.learning.schemes.fedit import FedIt
from federation.learning.schemes.ffa_lora import FfaLora
from federation.learning.schemes.flora import Flora
from federation.learning.schemes.scheme import Scheme
from federation.wire.rounds import SchemeName

_SCHEMES: dict[SchemeName, Scheme] = {
    SchemeName.FFA_LORA: FfaLora(),
    SchemeName.FED_SB: FedSb(),
    SchemeName.FEDIT: FedIt(),
    SchemeName.FLORA: Flora(),
}


def scheme_of(name: SchemeName) -> Scheme:
    """Return the scheme of this name."""
    return _SCHEMES[name]

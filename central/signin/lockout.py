"""When a sign-in is not even tried. Pure.

Offices and schools share an address, so few failures lock a name at an address and nobody else there. Whoever has many
addresses meets the bound of the name, and whoever has many names that of the address; both are so wide that people with
bad memories do not meet them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

WINDOW = timedelta(minutes=15)
"""Failures older than this count no more, so a lock ends by itself."""
OF_NAME_AT_ADDRESS = 5
OF_NAME = 50
OF_ADDRESS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Sign-ins that failed within the window."""

    of_name_at_address: int
    of_name: int
    of_address: int

    @property
    def is_locked(self) -> bool:
        """Tell whether the next one is not tried."""
        return self.of_name_at_address >= OF_NAME_AT_ADDRESS or self.of_name >= OF_NAME or self.of_address >= OF_ADDRESS

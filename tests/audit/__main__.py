"""Take every look, two at a time, and end with status 1 where a finding has no answer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.audit.advisories import advisories_look
from tests.audit.bill import INTO, bill_write
from tests.audit.code import code_look
from tests.audit.findings import AuditBroken, Look
from tests.audit.kept_secrets import secrets_look
from tests.audit.licences import licences_look

LOOKS: Sequence[Callable[[], Look]] = (secrets_look, code_look, licences_look, advisories_look, bill_write)


def main() -> int:
    """Print what each look came to."""
    with ThreadPoolExecutor(max_workers=2) as workers:
        looks = list(workers.map(_take, LOOKS))
    for look in looks:
        sys.stdout.write(f"{look.name:<11}{look.told}\n")
        sys.stdout.writelines(f"  ! {problem}\n" for problem in look.problems)
    if any(look.problems for look in looks):
        sys.stdout.write("Mend each of these, or answer it with a reason: docs/contributing.md, «The audit».\n")
        return 1
    sys.stdout.write(f"Bills of materials: {INTO}\n")
    return 0


def _take(look: Callable[[], Look]) -> Look:
    try:
        return look()
    except AuditBroken as error:
        return Look(name="broken", told="A tool did not do its work.", problems=(str(error),), has_looked=False)


if __name__ == "__main__":
    sys.exit(main())

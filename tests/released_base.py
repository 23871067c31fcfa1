"""A base that was released without its gate: what its verdict would say does not matter to who learns on it."""

import json
from datetime import datetime
from pathlib import Path

from central.disk import CentreDisk
from central.releases.models import Release, ReleaseKindChoice, ReleaseStatus
from central.releases.services import release_build_begin, release_built, release_draft_create, release_sign
from central.releases.variants import BuiltPackage
from federation.inference.package import CARD


def base_release(package: Path, *, disk: CentreDisk, now: datetime) -> Release:
    """Return the signed base whose one form is `package`."""
    base = release_draft_create(kind=ReleaseKindChoice.BASE, title="tiny", actor="test", now=now)
    release_build_begin(release=base, actor="test", now=now)
    card = json.loads((package / CARD).read_text("utf-8"))
    release_built(release=base, packages=[BuiltPackage(folder=package, card=card)], disk=disk, now=now)
    Release.objects.filter(pk=base.pk).update(status=ReleaseStatus.AWAITING_SIGNATURE)
    base.refresh_from_db()
    release_sign(release=base, disk=disk, actor="test", now=now)
    return base

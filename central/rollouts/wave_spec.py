"""A wave as it is asked for: a name, and schools by list, a share of all nodes or a number of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from central.rollouts.errors import WaveInvalid
from central.schools.errors import SchoolUnknown
from central.schools.models import School

_SHARE = re.compile(r"([0-9]{1,3})%")
_COUNT = re.compile(r"\+([0-9]{1,6})")
ALL_PERCENT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveSpec:
    """A wave to be made: schools by list, nodes up to the share `percent` of all, or `count` more of them."""

    name: str
    schools: tuple[School, ...] = ()
    percent: int = 0
    count: int = 0


def wave_spec_read(text: str) -> WaveSpec:
    """Return the wave that `NAME=school,school`, `NAME=25%` or `NAME=+50` asks for.

    A school is named by its name or id. A share is of all and so includes the waves before; a number comes after them.

    Raises:
        WaveInvalid: the text has another form or asks for nobody.
        SchoolUnknown: a school is not there.
    """
    name, _, whom = text.partition("=")
    if not name.strip() or not whom.strip():
        raise WaveInvalid(wave=text)
    share, count = _SHARE.fullmatch(whom.strip()), _COUNT.fullmatch(whom.strip())
    if count is not None and int(count[1]) > 0:
        return WaveSpec(name=name.strip(), count=int(count[1]))
    if share is None:
        schools = tuple(_school_find(word.strip()) for word in whom.split(","))
        return WaveSpec(name=name.strip(), schools=schools)
    percent = int(share[1])
    if not 1 <= percent <= ALL_PERCENT:
        raise WaveInvalid(wave=text)
    return WaveSpec(name=name.strip(), percent=percent)


def _school_find(word: str) -> School:
    school = School.objects.filter(name=word).first()
    if school is None and word.isdecimal():
        school = School.objects.filter(pk=int(word)).first()
    if school is None:
        raise SchoolUnknown(name=word)
    return school

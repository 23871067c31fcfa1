"""Judge a class's code and a pupil's PIN, each counted as a guess before it is looked at."""

from __future__ import annotations

from datetime import datetime

from federation.errors import WireError
from node.people.guessing import guess_count, guess_forgive
from node.people.models import Pupil, SchoolClass
from node.people.names import digits_read
from node.people.services import is_pupils_pin
from node.people.targets import device_target, pupil_target


class CodeUnknown(WireError):
    """No class has this code."""

    code = "class_code_unknown"


class PinWrong(WireError):
    """The PIN is not this pupil's, or the pupil may not sign in; which of both is not said."""

    code = "pin_wrong"


def class_find(*, code: str, address: str, now: datetime) -> SchoolClass:
    """Return the class of this code.

    Raises:
        CodeUnknown: there is none.
        GuessesTooMany: the device must wait.
    """
    targets = (device_target(address),)
    guess_count(targets=targets, now=now)
    school_class = SchoolClass.objects.filter(code=digits_read(code)).first()
    if school_class is None:
        raise CodeUnknown
    guess_forgive(targets=targets)
    return school_class


def pupil_enter(*, school_class: SchoolClass, pupil_id: int, pin: str, address: str, now: datetime) -> Pupil:
    """Return the pupil of the class whose PIN this is.

    Raises:
        PinWrong: it is not, or there is no such pupil who may sign in.
        GuessesTooMany: the device or the pupil's door must wait.
    """
    targets = (device_target(address), pupil_target(pupil_id))
    guess_count(targets=targets, now=now)
    pupil = school_class.pupils.may_enter().select_related("school_class").filter(pk=pupil_id).first()
    if pupil is None or not is_pupils_pin(pupil=pupil, pin=pin):
        raise PinWrong
    guess_forgive(targets=targets)
    return pupil

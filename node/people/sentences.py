"""What is wrong with a line of a roll, in the reader's words."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from node.people.roll import RollProblem
from node.sentences import PEOPLE_REASONS

ROLL_REASONS: dict[str, str | Promise] = {
    **PEOPLE_REASONS,
    "too_large": gettext_lazy("The file is too large: at most 3,000 lines and 512 kB."),
    "not_utf8": gettext_lazy("The file's letters cannot be read; save it as “CSV UTF-8”."),
    "not_a_table": gettext_lazy("The file is not a table; save it as “CSV UTF-8”."),
    "empty": gettext_lazy("There is nobody in the file."),
    "columns_unknown": gettext_lazy(
        "The first line must name the columns: first name, class, and if needed last name, role, username."
    ),
    "role_unknown": gettext_lazy("The role must be pupil or teacher, or empty for a pupil."),
    "class_missing": gettext_lazy("A pupil needs exactly one class."),
    "username_missing": gettext_lazy("A teacher needs a name for signing in."),
    "username_taken": gettext_lazy("Somebody else signs in with this name."),
    "username_not_a_name": gettext_lazy("The name for signing in may have letters, digits and @ . + - _ only."),
    "twice": gettext_lazy("This person stands in the file twice."),
}


def problem_sentence(problem: RollProblem) -> str:
    """Return the sentence for `problem`, with its line where it has one."""
    words = str(ROLL_REASONS[problem.reason])
    return _("Line %(line)d: %(problem)s") % {"line": problem.line, "problem": words} if problem.line else words

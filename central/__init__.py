"""The ministry's centre: schools, releases, feedback, rounds and rollouts, in one Django project.

Apps in order: schools → releases → feedback → training, and rollouts on schools and releases; a later one may import
an earlier one, never back. `checkins` is the door where a node meets all of them.
"""

import federation  # noqa: F401 - before anything here loads ONNX Runtime, which would tell its maker of every model

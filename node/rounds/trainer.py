"""What a trainer's process is: its module, and what its environment says beside that of a node's other children."""

from __future__ import annotations

TRAINER_MODULE = "federation.learning.train"
TRAINER_ENVIRONMENT = {
    # How often a waiting thread of torch's looks again before it sleeps. By default it looks for about a millisecond,
    # and whatever else runs on the PC, such as an answer to a pupil, then makes both crawl: two trainings side by side
    # on two cores took 159 s, with this 58 s; one alone 28 s and 29 s.
    "GOMP_SPINCOUNT": "1000",
    # Larger arrays go back to the kernel when they are let go. By default glibc keeps ever larger ones after the first
    # was let go, and steps of other lengths find no place in them: 60 to 110 MB more at the peak.
    "MALLOC_MMAP_THRESHOLD_": "1048576",
}

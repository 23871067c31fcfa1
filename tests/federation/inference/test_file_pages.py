"""What loading has read once is let go, and what was changed stays."""

import mmap
import re
from pathlib import Path

from federation.inference.file_pages import FilePages

SIZE = 64 * mmap.PAGESIZE


def resident_kib(path):
    smaps = Path("/proc/self/smaps").read_text()
    return sum(int(found) for found in re.findall(rf"{re.escape(str(path))}\n(?:.*\n)*?Rss: +(\d+) kB", smaps))


def test_pages_that_were_only_read_are_let_go_and_come_back_as_they_were(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(bytes(range(256)) * (SIZE // 256))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        before = bytes(mapped)
        assert resident_kib(path) == SIZE // 1024
        FilePages(path).release()
        assert resident_kib(path) == 0
        assert bytes(mapped) == before


def test_a_mapping_with_a_changed_page_is_left_alone(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(bytes(SIZE))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        mapped[5] = 7
        FilePages(path).release()
        assert mapped[5] == 7

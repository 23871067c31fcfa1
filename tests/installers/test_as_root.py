"""The installer as root, with the PC's own Python, in a copy of this machine's files that is gone afterwards."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.installers.conftest import PYTHON, SCHOOL_AS_ROOT

pytestmark = pytest.mark.slow
# Namespace, overlay and tmpfs end with the shell; nothing outside is touched.
IN_A_COPY = """
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --bind /dev "$1/root/dev"
mkdir "$1/root/stick"
mount --bind "$2" "$1/root/stick"
chroot "$1/root" sh -c "$3"
"""
AS_A_TECHNICIAN = """
cd /
sh /stick/install --no-systemd || exit 1
echo "FACTS"
stat -c "%U %a %n" /var/lib/soro /var/lib/soro/node.json /var/lib/soro/node.sqlite3 /opt/soro/current/bin/soro
echo "others $(find /var/lib/soro -not -user soro | wc -l), own program $(find /opt/soro -user soro | wc -l)"
soro status --json
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a copy of the machine's files is mounted by root")
def test_as_root_all_data_is_of_one_user_who_owns_no_program(ministry, tmp_path):
    python = subprocess.run(["/usr/bin/python3", "-V"], capture_output=True, text=True, check=False).stdout
    if not python.startswith(f"Python {PYTHON}."):
        pytest.skip(f"the stick is for Python {PYTHON}, and this machine's own is {python}")
    stick = tmp_path / "SORO"
    ministry.stick(stick, school=SCHOOL_AS_ROOT)
    # As a desktop mounts it: for the person at the PC alone.
    stick.chmod(0o700)
    place = tmp_path / "copy"
    place.mkdir()
    shell = ["unshare", "--mount", "sh", "-c", IN_A_COPY, "sh", str(place), str(stick), AS_A_TECHNICIAN]
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}

    ended = subprocess.run(shell, env=environment, capture_output=True, text=True, check=False)

    if "mount:" in ended.stderr or "unshare:" in ended.stderr:
        pytest.skip("this machine allows no mounts")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    facts = ended.stdout.partition("FACTS\n")[2].splitlines()
    assert facts[:4] == [
        "soro 750 /var/lib/soro",
        "soro 600 /var/lib/soro/node.json",
        "soro 644 /var/lib/soro/node.sqlite3",
        "root 755 /opt/soro/current/bin/soro",
    ]
    assert facts[4] == "others 0, own program 0"
    status = json.loads(facts[5])
    assert (status["school"], status["version"]) == (SCHOOL_AS_ROOT, 1)
    assert not Path("/var/lib/soro").exists()
    assert shutil.which("soro") is None

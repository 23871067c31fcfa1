"""The unit and the rule that mount a stick for the page, judged and not tried: no test has a stick to put in."""

import re
import shutil
import subprocess

import pytest

from central.installers.services import TARGET
from federation.trust.stick_media import FILE_SYSTEMS, MOUNTED_UNDER

UNIT, RULE = TARGET / "soro-stick@.service", TARGET / "90-soro-stick.rules"
UDEV_THAT_VERIFIES = 254


def udev_version():
    if shutil.which("udevadm") is None:
        return 0
    return int(subprocess.run(["udevadm", "--version"], capture_output=True, text=True, check=True).stdout.split()[0])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_takes_the_unit(tmp_path):
    unit = shutil.copy(UNIT, tmp_path / "soro-stick@sdb1.service")

    judged = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)

    assert "soro-stick" not in judged.stderr, judged.stderr


@pytest.mark.skipif(udev_version() < UDEV_THAT_VERIFIES, reason="no udevadm that judges rules (from 254 on) is here")
def test_udev_takes_the_rule():
    judged = subprocess.run(["udevadm", "verify", str(RULE)], capture_output=True, text=True, check=False)

    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_nothing_on_a_stick_runs_and_the_page_finds_it():
    unit, rule = UNIT.read_text(encoding="utf-8"), RULE.read_text(encoding="utf-8")
    ((options, device, place),) = re.findall(r"^ExecStart=mount -o (\S+) (\S+) (\S+)$", unit, re.MULTILINE)

    assert {"noexec", "nosuid", "nodev", "uid=soro"} < set(options.split(","))
    assert device == "/dev/%i"
    assert place.startswith(MOUNTED_UNDER)
    assert re.findall(r"^ExecStop=umount .* (\S+)$", unit, re.MULTILINE) == [place]
    # A file system with owners of its own would not become the service's by these options, nor one that is no stick's.
    (kinds,) = re.findall(r'ENV\{ID_FS_TYPE\}!="([^"]+)"', rule)
    assert set(kinds.split("|")) == {"vfat", "exfat"} < FILE_SYSTEMS
    assert '"soro-stick@%k.service"' in rule


def test_the_rule_names_labels_that_are_there_and_lets_no_system_partition_through():
    lines = [line for line in RULE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    gone_to = {label for line in lines for label in re.findall(r'GOTO="(\w+)"', line)}

    assert gone_to == set(re.findall(r'LABEL="(\w+)"', "\n".join(lines)))
    wanted = next(number for number, line in enumerate(lines) if "SYSTEMD_WANTS" in line)
    refused = next(number for number, line in enumerate(lines) if "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" in line)
    assert refused < wanted

"""Several SuperLinks by region: who connects where, and what the centre runs."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from central.superlinks import SuperLinkSite, superlink_of, superlinks_read
from central.supervisor import CentrePlan, fleet_specs
from federation.wire.enrolment import EnrolmentAnswer
from tests.central.school import SimulatedSchool, plain

TWO = "north=c.example:8443/Суғд, ВМКБ; south=c.example:8444"


def test_one_address_is_one_superlink_for_all_regions(settings):
    settings.FLEET_ADDRESS = "c.example:8443"
    assert superlink_of("Суғд") == superlink_of("") == SuperLinkSite(name="", address="c.example:8443")
    assert (superlink_of("").host, superlink_of("").port) == ("c.example", 8443)


def test_a_region_has_its_own_superlink_or_the_one_for_all_others(settings):
    settings.FLEET_ADDRESS = TWO
    assert [superlink_of(region).name for region in ("Суғд", "ВМКБ", "Хатлон", "")] == [
        "north",
        "north",
        "south",
        "south",
    ]


def test_a_centre_without_flower_names_none(settings):
    settings.FLEET_ADDRESS = ""
    assert superlink_of("Суғд").address == ""
    assert superlinks_read("") == ()


@pytest.mark.parametrize("text", ["c.example", "c.example:x", ":8443", "a=c:1;a=c:2", "c:1;c:2", "../x=c:1"])
def test_what_names_no_superlink_or_two_alike_is_refused(text):
    with pytest.raises(ImproperlyConfigured):
        superlinks_read(text)


def test_the_centre_runs_each_with_its_own_state_and_log(settings, disk):
    settings.FLEET_ADDRESS = TWO
    plan = CentrePlan(root=disk.root, host="127.0.0.1", port=8000, fleet_port=1)
    specs = [spec for site in plan.sites for spec in fleet_specs(plan, site, disk)]
    assert [spec.name for spec in specs] == ["superlink-north", "superexec-north", "superlink-south", "superexec-south"]
    assert len({spec.log_path for spec in specs}) == 4
    databases = [argv for spec in specs for argv in spec.argv if argv.endswith("superlink.sqlite3")]
    assert databases == [str(disk.superlinks / name / "superlink.sqlite3") for name in ("north", "south")]


def test_a_school_is_told_of_its_regions_superlink(client, keys, db, settings, disk):
    settings.FLEET_ADDRESS = TWO
    authority = disk.superlinks / "south" / "tls" / "ca.pem"
    authority.parent.mkdir(parents=True)
    authority.write_text("PEM")
    school = SimulatedSchool.enrolled(client, name="Мактаби №1")
    again = SimulatedSchool(client, school.code)
    again.key = school.key
    answer = plain(again.enrol(), EnrolmentAnswer)
    assert (answer.fleet.address, answer.fleet.ca_certificate) == ("c.example:8444", "PEM")

"""Reports from a replica: when one may answer, what never goes there, and a real primary with its streaming replica."""

import logging
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError
from hypothesis import given
from hypothesis import strategies as st

from central.database_url import REPLICA
from central.environment import environment_read
from central.feedback.models import Rating
from central.replica_rule import ReplicaSigns, ReplicaState, behind_seconds, replica_judge
from central.replica_watch import LOOK_SECONDS, ReplicaWatch
from central.reports import ReportRouter, Reports, primary_read, report_each, report_read, report_scope
from central.schools.groups import centre_apps
from central.schools.models import Account, Node, SessionToken
from tests.central.commands import ROOT, environment_of
from tests.postgresql_cluster import cluster_open, replica_open
from tests.real_centre import real_centre

DEPLOY = Path(__file__).parents[2] / "deploy" / "postgresql"
PRIMARY_URL = "postgres://soro:geheim@db/soro"
SIGNS = {
    "is_in_recovery": True,
    "is_of_this_cluster": True,
    "has_replayed_all": False,
    "replayed_seconds_ago": 1.0,
}


def judged(**signs):
    return replica_judge(ReplicaSigns(**{**SIGNS, **signs}), most_seconds=30)


# When it may answer


def test_one_that_follows_closely_serves_and_one_too_far_behind_does_not():
    assert judged() is ReplicaState.SERVING
    assert judged(replayed_seconds_ago=30.1) is ReplicaState.BEHIND
    # Nobody can tell how old what it lacks is.
    assert judged(replayed_seconds_ago=None) is ReplicaState.BEHIND


def test_of_a_night_in_which_nothing_was_written_it_is_not_behind():
    assert judged(has_replayed_all=True, replayed_seconds_ago=36_000) is ReplicaState.SERVING
    assert judged(has_replayed_all=True, replayed_seconds_ago=None) is ReplicaState.SERVING


@given(st.booleans(), st.floats(0, 100))
def test_one_that_was_promoted_or_is_of_another_cluster_never_serves(has_all, seconds):
    said = {"has_replayed_all": has_all, "replayed_seconds_ago": seconds}

    assert judged(**said, is_in_recovery=False) is ReplicaState.FOREIGN
    assert judged(**said, is_of_this_cluster=False) is ReplicaState.FOREIGN


def test_a_clock_that_was_set_back_makes_nothing_younger_than_now():
    assert behind_seconds(ReplicaSigns(**{**SIGNS, "replayed_seconds_ago": -3.0})) == 0


def test_a_process_looks_every_few_seconds_and_tells_each_change_once(caplog):
    found, looks, clock = [ReplicaState.SERVING], [], [100.0]

    def look():
        looks.append(clock[0])
        return found[0]

    watch = ReplicaWatch(look, clock=lambda: clock[0])
    with caplog.at_level(logging.INFO, logger="central.replica_watch"):
        assert [watch.state() for _ in range(3)] == [ReplicaState.SERVING] * 3
        found[0] = ReplicaState.GONE
        assert watch.state() is ReplicaState.SERVING
        clock[0] += LOOK_SECONDS
        assert [watch.state(), watch.state()] == [ReplicaState.GONE] * 2
        clock[0] += LOOK_SECONDS
        assert watch.state() is ReplicaState.GONE

    assert looks == [100.0, 100.0 + LOOK_SECONDS, 100.0 + 2 * LOOK_SECONDS]
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]


# The settings


def read(**variables):
    environ = {f"SORO_CENTRAL_{name}": value for name, value in variables.items()}
    return environment_read(environ, root=Path("/nowhere"))


def test_no_replica_is_the_default_and_one_is_only_read():
    assert read().replica is None
    named = read(DATABASE_URL=PRIMARY_URL, DATABASE_REPLICA_URL="postgres://soro:geheim@db2:5433/soro?sslmode=require")

    assert named.mistakes == ()
    assert (named.replica["HOST"], named.replica["PORT"], named.replica_lag_seconds) == ("db2", "5433", 30)
    assert named.replica["OPTIONS"]["sslmode"] == "require"
    assert "default_transaction_read_only=on" in named.replica["OPTIONS"]["options"]
    assert int(named.replica["OPTIONS"]["connect_timeout"]) <= 5


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"DATABASE_REPLICA_URL": PRIMARY_URL}, "central.E010"),
        ({"DATABASE_URL": PRIMARY_URL, "DATABASE_REPLICA_URL": "postgres://soro:geheim@db2/other"}, "central.E010"),
        ({"DATABASE_URL": PRIMARY_URL, "DATABASE_REPLICA_URL": "mysql://soro:geheim@db2/soro"}, "central.E004"),
        ({"DATABASE_URL": PRIMARY_URL, "REPLICA_LAG_SECONDS": "0"}, "central.E003"),
    ],
)
def test_a_replica_that_cannot_be_one_is_a_mistake_that_repeats_no_password(variables, code):
    mistakes = read(**variables).mistakes

    assert [mistake.code for mistake in mistakes] == [code]
    assert "geheim" not in mistakes[0].text


# What goes where


def routed(model):
    return ReportRouter().db_for_read(model)


def test_only_a_report_reads_from_the_replica():
    with report_scope():
        assert [routed(Rating), routed(Node)] == [REPLICA] * 2
        # What decides may be asked for by a report first.
        assert primary_read(lambda: routed(Rating)) == "default"
        assert routed(Rating) == REPLICA
    assert routed(Rating) == "default"


def test_who_somebody_is_and_every_write_are_the_primarys_within_a_report_too():
    rating = Rating()
    rating._state.db = REPLICA
    with report_scope():
        assert {routed(get_user_model()), routed(Account), routed(SessionToken)} == {"default"}
        assert ReportRouter().db_for_write(Rating, instance=rating) == "default"
    assert ReportRouter().db_for_read(Rating, instance=rating) == "default"
    assert not ReportRouter().allow_migrate(REPLICA, "feedback")


def test_every_app_whose_rows_reports_are_of_is_one_of_the_centres():
    assert ReportRouter.of_apps <= set(centre_apps())


def test_without_a_replica_a_report_is_read_as_everything_else():
    assert report_read(lambda: routed(Rating)) == "default"
    assert list(report_each(lambda: iter([routed(Rating), 2]))) == ["default", 2]


class Trial:
    """Reports of a replica that serves, and fails after so many reads of rows."""

    def __init__(self, *, fails_after, has_all=True):
        self.fails_after, self.asked, self.failures = fails_after, [], []
        self.reports = Reports(
            state=lambda: ReplicaState.SERVING, catch_up=lambda: has_all, failed=self.failures.append
        )

    def row(self, number=0):
        place = routed(Rating)
        if place == REPLICA and number >= self.fails_after:
            raise OperationalError
        self.asked.append((place, number))
        return number

    def rows(self):
        return (self.row(number) for number in range(3))


def test_a_report_under_which_the_replica_dies_is_read_anew_from_the_primary():
    trial = Trial(fails_after=0)

    assert trial.reports.read(trial.row) == 0
    assert list(trial.reports.each(trial.rows)) == [0, 1, 2]
    assert trial.asked == [("default", 0), ("default", 0), ("default", 1), ("default", 2)]
    assert len(trial.failures) == 2


def test_a_file_of_which_rows_are_out_breaks_off_and_says_none_twice():
    trial = Trial(fails_after=2)
    with pytest.raises(OperationalError):
        list(trial.reports.each(trial.rows))
    assert trial.asked == [(REPLICA, 0), (REPLICA, 1)]


def test_a_file_comes_from_a_replica_that_has_all_and_who_takes_it_is_in_no_report():
    trial, late = Trial(fails_after=9), Trial(fails_after=9, has_all=False)

    assert [(number, routed(Rating)) for number in trial.reports.each(trial.rows)] == [
        (number, "default") for number in range(3)
    ]
    assert {place for place, _number in trial.asked} == {REPLICA}
    assert list(late.reports.each(late.rows)) == [0, 1, 2]
    assert {place for place, _number in late.asked} == {"default"}


def test_an_error_of_the_primary_is_the_reports_own():
    def fails():
        raise OperationalError

    trial = Trial(fails_after=9)
    with pytest.raises(OperationalError):
        trial.reports.read(fails)
    assert len(trial.failures) == 1


# A real primary and a real replica

PATIENCE_SECONDS = 300.0
SUPERUSER = {"DJANGO_SUPERUSER_PASSWORD": "Парол-барои-санҷиш-7", "DJANGO_SUPERUSER_EMAIL": "g@example.tj"}


def until(is_so, what):
    patient_until = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < patient_until, what
        time.sleep(0.1)


def person_made(centre, database_url):
    environment = environment_of(centre.root, SORO_CENTRAL_DATABASE_URL=database_url) | SUPERUSER
    argv = [sys.executable, str(ROOT / "manage.py"), "central", "createsuperuser", "--noinput", "--username", "Гулнора"]
    subprocess.run(argv, env=environment, check=True, capture_output=True, timeout=120)


class Person:
    """Somebody of the ministry, signed in with a browser."""

    def __init__(self, centre):
        self.centre = centre
        self.browser = httpx.Client(base_url=centre.url, timeout=60, follow_redirects=True)
        page = self.browser.get("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]
        said = {"username": "Гулнора", "password": SUPERUSER["DJANGO_SUPERUSER_PASSWORD"]}
        answer = self.browser.post("/admin/login/", data={**said, "csrfmiddlewaretoken": token, "next": "/admin/"})
        assert (answer.status_code, answer.url.path) == (200, "/admin/")

    def active_pcs(self):
        page = self.browser.get("/admin/")
        assert page.status_code == 200
        return int(re.search(r'class="dash-number" href="[^"]*schools/node/[^"]*">(\d+)<', page.text)[1])

    def listed_schools(self):
        answer = self.browser.get("/admin/schools/school/csv/")
        assert answer.status_code == 200
        return len(answer.text.splitlines()) - 1

    def close(self):
        self.browser.close()

    def log(self):
        return (self.centre.root / "centre.log").read_text(encoding="utf-8")

    def waits_for(self, words, times=1):
        """Return once the centre's log says `words` so often, while reports are asked for."""

        def is_said():
            self.active_pcs()
            return self.log().count(words) >= times

        until(is_said, words)


def on(cluster, statement):
    with psycopg.connect(cluster.url, autocommit=True) as database:
        return database.execute(statement).fetchall() if statement.startswith("SELECT") else database.execute(statement)


def replay_pause(replica):
    on(replica, "SELECT pg_wal_replay_pause()")
    until(lambda: on(replica, "SELECT pg_get_wal_replay_pause_state()") == [("paused",)], "its pause")


def pc_active(centre, primary, name):
    centre.ask("invite", name=name)
    on(primary, "UPDATE schools_node SET status = 'active', public_key = id::text")


@pytest.mark.slow
def test_reports_come_from_a_real_replica_and_go_on_when_it_lags_dies_or_is_promoted(tmp_path):
    shipped = {name: (DEPLOY / f"soro-{name}.conf").read_text() for name in ("primary", "replica")}
    with ExitStack() as people, cluster_open(settings=lambda _folder: shipped["primary"]) as primary:
        with real_centre(tmp_path / "centre", SORO_CENTRAL_DATABASE_URL=primary.url) as centre:
            pc_active(centre, primary, "Мактаби №1")
            person_made(centre, primary.url)
        with replica_open(primary, settings=shipped["replica"] + "log_statement = 'all'\n") as replica:
            both = {
                "SORO_CENTRAL_DATABASE_URL": primary.url,
                "SORO_CENTRAL_DATABASE_REPLICA_URL": replica.url,
                "SORO_CENTRAL_REPLICA_LAG_SECONDS": "3600",
            }
            asked = replica.folder / "postgresql.log"
            with real_centre(tmp_path / "centre", **both) as centre:
                person = people.enter_context(closing(Person(centre)))
                # Set, and not there yet.
                assert person.active_pcs() == 1
                person.waits_for("the replica does not answer")
                replica.start()
                person.waits_for("the replica answers reports")

                # It holds what was there before the pause; who is signed in and what is written are the primary's.
                replay_pause(replica)
                pc_active(centre, primary, "Мактаби №2")
                assert person.active_pcs() == 1
                assert 'FROM "feedback_ratingweek"' in asked.read_text()
                # A file knows of all that was committed before it was asked for.
                assert person.listed_schools() == 2
                assert "DECLARE" not in asked.read_text()
                on(replica, "SELECT pg_wal_replay_resume()")
                until(lambda: person.active_pcs() == 2, "the second PC")
                assert person.listed_schools() == 2
                assert re.search(r'DECLARE .* FROM "schools_school"', asked.read_text())
                assert re.search(r"auth_user|django_session|schools_account", asked.read_text()) is None

                # Dead, in the middle of the day.
                replica.end(signal.SIGQUIT)
                assert person.active_pcs() == person.listed_schools() == 2
                person.waits_for("the replica does not answer", times=2)
                replica.start()
                person.waits_for("the replica answers reports", times=2)

            with real_centre(tmp_path / "centre", **both | {"SORO_CENTRAL_REPLICA_LAG_SECONDS": "1"}) as centre:
                person = people.enter_context(closing(Person(centre)))
                person.waits_for("the replica answers reports")
                replay_pause(replica)
                pc_active(centre, primary, "Мактаби №3")
                person.waits_for("too far behind")
                assert person.active_pcs() == 3
                on(replica, "SELECT pg_wal_replay_resume()")
                person.waits_for("the replica answers reports", times=2)

                # One that was promoted goes its own way.
                on(replica, "SELECT pg_promote()")
                person.waits_for("follows this database no more")
                on(replica, "UPDATE schools_node SET status = 'suspended'")
                assert person.active_pcs() == 3

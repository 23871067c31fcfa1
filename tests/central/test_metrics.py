"""Figures for Prometheus: sums over processes, rules shared with the pages, and alarms that ask for what there is."""

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from central.dashboard.attention import WAITING
from central.disk import CentreDisk
from central.metrics.figures import figures_read
from central.metrics.serving import KEPT_SECONDS, TableFigures
from central.metrics.store import store_files, store_open
from central.replica_rule import ReplicaState
from central.rollouts.models import PauseReason, WaveStatus
from central.rollouts.verdict import SILENT_AT_LEAST
from central.schools.models import Node
from federation.demo.commands import CommandLine, wait_until
from tests.stations import EMBEDDED, does_answer, free_port

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "deploy/prometheus/soro.rules.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
BOARD = json.loads((ROOT / "deploy/grafana/soro-centre.json").read_text(encoding="utf-8"))
LATEST = "courier", "0002_trip_region"
NAME, LABEL = re.compile(r"\bsoro_\w+"), re.compile(r'(\w+)\s*(?:=~|!=|=)\s*"([^"]*)"')
GROUPED = re.compile(r"\b(?:by|ignoring) \(([^)]*)\)|ignoring\((\w+)\)")
COUNT = """
import os, sys
from pathlib import Path
from central.metrics.store import store_open, store_variables
os.environ.update(store_variables(root=Path(sys.argv[1]), part=sys.argv[2]))
store_open(root=Path(sys.argv[1]), part=sys.argv[2])
from central.metrics.counters import REQUESTS
REQUESTS.labels("GET", "healthz", 200).inc(int(sys.argv[3]))
print("counted", flush=True)
sys.stdin.read()
"""


def values(families):
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


@pytest.fixture
def figures(disk, keys, now):
    return lambda: values(figures_read(disk=disk, now=timezone.now()))


# What the tables say


def test_the_tables_figures_are_those_of_the_pages(figures, school, other_school):
    Node.objects.filter(pk=other_school.node_id).update(
        last_contact_at=timezone.now() - timezone.timedelta(days=40), problems=["disk_full"]
    )
    told = figures()

    region = ("region", Node.objects.get(pk=school.node_id).school.region)
    assert told["soro_school_pcs_active", region] == 2
    assert told["soro_school_pcs_silent", region] == 1
    assert told["soro_waiting", ("what", "pcs_with_problems")] == 1
    assert told["soro_metadata_expiring", ("role", "root")] == 0
    assert {key[1][1] for key in told if key[0] == "soro_waiting"} == {each.name for each in WAITING}
    assert all(told["soro_ready", ("check", name)] == 1 for name in ("database", "migrations", "broker", "storage"))


def test_figures_are_read_once_in_ten_seconds():
    clock = iter([0.0, KEPT_SECONDS - 1, KEPT_SECONDS + 1])
    table = TableFigures(lambda: [object()], clock=lambda: next(clock))

    first, second, third = table.collect(), table.collect(), table.collect()
    assert first is second
    assert first is not third


def test_without_its_tables_a_centre_tells_what_needs_none(figures, db):
    MigrationRecorder(connection).record_unapplied(*LATEST)
    told = figures()

    assert told["soro_ready", ("check", "migrations")] == 0
    assert told["soro_disk_bytes", ("part", "total")] > 0
    assert not [key for key in told if key[0] == "soro_waiting"]


# What processes count


@pytest.fixture
def counting(tmp_path):
    """Start a process that counts and stays."""
    children = []

    def start(part, number):
        argv = [sys.executable, "-c", COUNT, str(tmp_path), part, str(number)]
        child = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        children.append(child)
        assert child.stdout.readline() == "counted\n"
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


def test_what_several_processes_count_is_summed_and_outlives_one_of_them(tmp_path, counting):
    from central.metrics.serving import CountedFigures  # noqa: PLC0415 - as the process that serves imports it

    class Disk:
        metrics = tmp_path

    total = ("soro_http_requests_total", ("method", "GET"), ("route", "healthz"), ("status", "200"))
    first = counting("web", 3)
    counting("web", 4)
    counting("worker", 5)
    first.kill()
    first.wait()
    counting("web", 6)

    assert values(CountedFigures(Disk).collect())[total] == 18


def test_a_part_that_starts_anew_counts_from_nothing_and_leaves_the_others_alone(tmp_path, counting):
    web = counting("web", 3)
    counting("worker", 5)
    web.kill()
    web.wait()
    store_open(root=tmp_path, part="web")

    assert [Path(path).parent.name for path in store_files(root=tmp_path)] == ["worker"]


# A whole centre


def are_counted(figures):
    """Tell whether a message has come through the queue, and the task that a test asks for has run."""
    wanted = ("soro_queue_age_seconds{", 'task="central.rollouts.tasks.rollouts_tick"')
    told = httpx.get(figures, timeout=60).text if does_answer(figures) else ""
    return all(each in told for each in wanted)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Return what a running centre tells Prometheus, and its logs, after some pages and tasks."""
    root, port, figures_port = tmp_path_factory.mktemp("central"), free_port(), free_port()
    address, figures = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{figures_port}/metrics"
    own = {"SORO_CENTRAL_METRICS": f"127.0.0.1:{figures_port}", "SORO_CENTRAL_LOG": "json"}
    copies = tmp_path_factory.mktemp("copies")
    own |= {"SORO_CENTRAL_BACKUP": str(copies)}
    commands = CommandLine(project="central", root=root, environment={**EMBEDDED, **own})
    commands.run("start", "keys", "make")
    commands.run("start", "backup", "files", str(copies / "files"))
    running = commands.start("run", "--port", str(port), "--fleet-port", str(free_port()))
    try:
        wait_until("start", lambda: does_answer(f"{address}/healthz"), what="its page", process=running)
        assert httpx.get(f"{address}/readyz", timeout=60).is_success
        assert httpx.get(f"{address}/nowhere", timeout=60).status_code == 404
        assert httpx.get(f"{address}/metrics", timeout=60).status_code == 404
        wait_until("start", lambda: are_counted(figures), what="its figures", process=running)
        told = httpx.get(figures, timeout=60).text
    finally:
        running.stop()
    return list(text_string_to_metric_families(told)), CentreDisk(root).logs


@pytest.mark.slow
def test_a_running_centre_counts_requests_by_route_and_tasks_of_its_worker(watched):
    told = values(watched[0])
    requests = {key[1:]: value for key, value in told.items() if key[0] == "soro_http_requests_total"}

    assert requests[("method", "GET"), ("route", "unmatched"), ("status", "404")] == 2
    assert requests[("method", "GET"), ("route", "readyz"), ("status", "200")] == 1
    assert told["soro_tasks_total", ("outcome", "success"), ("task", "central.rollouts.tasks.rollouts_tick")] >= 1
    assert 0 <= told["soro_queue_age_seconds", ("queue", "central")] < 60
    assert told["soro_metadata_expiring", ("role", "timestamp")] == 0


@pytest.mark.slow
def test_web_and_worker_write_one_object_a_line(watched):
    for part in ("web", "worker"):
        lines = [line for line in (watched[1] / f"{part}.log").read_text().splitlines() if line.startswith("{")]
        assert lines
        assert all(json.loads(line)["level"] for line in lines)
    web = [json.loads(line) for line in (watched[1] / "web.log").read_text().splitlines() if line.startswith("{")]
    assert {line["route"] for line in web if line["logger"] == "central.metrics.requests"} >= {"healthz", "readyz"}


def expressions():
    yield from (rule["expr"] for rule in RULES)
    yield from (target["expr"] for panel in BOARD["panels"] for target in panel["targets"])


@pytest.mark.slow
def test_every_alarm_and_every_panel_asks_for_figures_that_a_centre_tells(watched):
    # Of a new centre nobody has asked a school yet, and nothing has failed: those are told by their families.
    names = {sample.name for family in watched[0] for sample in family.samples}
    names |= {"soro_school_pcs_active", "soro_school_pcs_silent"}
    labels = {label for family in watched[0] for sample in family.samples for label in sample.labels} | {
        "region",
        "job",
    }

    asked = set()
    for expression in expressions():
        asked |= set(NAME.findall(expression))
        assert {name for name, _value in LABEL.findall(expression)} <= labels, expression
        grouped = [name.strip() for both in GROUPED.findall(expression) for name in ",".join(both).split(",")]
        assert set(filter(None, grouped)) <= labels, expression
    assert asked <= names
    assert len(asked) > 10


def test_values_that_alarms_name_are_the_programs_own_and_numbers_those_of_its_rules():
    known = {
        "reason": set(PauseReason.values),
        "status": {*WaveStatus.values, "5.."},
        "what": {each.name for each in WAITING},
        "outcome": {"success", "failure"},
        "part": {"total", "free"},
        "job": {"soro-centre"},
        "state": {each.value for each in ReplicaState},
    }
    for expression in expressions():
        for name, told in LABEL.findall(expression):
            assert set(told.split("|")) <= known[name], expression
    silent = next(rule["expr"] for rule in RULES if rule["alert"] == "SoroSchoolsSilent")
    assert f"soro_school_pcs_silent >= {SILENT_AT_LEAST} " in silent


def test_every_alarm_says_what_to_do():
    assert len({rule["alert"] for rule in RULES}) == len(RULES) > 10
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert len(rule["annotations"]["action"]) > 20

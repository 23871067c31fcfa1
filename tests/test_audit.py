"""What the audit finds where something was planted for it, and what it says where it could look at nothing."""

import http.server
import json
import threading

import pytest

from tests.audit.advisories import advisories_look
from tests.audit.bill import bill_write
from tests.audit.code import code_look
from tests.audit.findings import unanswered
from tests.audit.kept_secrets import secrets_look
from tests.audit.licences import licences_judge


class Advisories(http.server.BaseHTTPRequestHandler):
    """OSV's form of an answer: an old Django and h11 have a hole each."""

    holes = {("django", "3.2"): "GHSA-old", ("h11", "0.16.0"): "GHSA-new"}

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        named = self.holes.get((asked["package"]["name"].lower(), asked["version"]))
        found = {"id": named, "details": "a hole", "summary": "a hole", "aliases": [], "affected": []}
        content = json.dumps({"vulns": [found]} if named else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments):
        """Keep tests quiet."""


@pytest.fixture
def database():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield ("osv", "--osv-url", f"http://127.0.0.1:{server.server_port}/v1/query")
        server.shutdown()


def test_a_shell_that_runs_what_it_is_told_is_found_and_one_that_is_answered_is_not(tmp_path):
    (tmp_path / "open.py").write_text("import os\nos.system(input())\n")
    (tmp_path / "answered.py").write_text("import os\nos.system(input())  # nosec B605\n")

    problems = code_look([tmp_path]).problems

    assert [line.partition(" ")[0] for line in problems] == [f"{tmp_path}/open.py:2"]
    assert "B605" in problems[0]


def test_a_private_key_and_a_token_in_the_tree_are_found(tmp_path):
    (tmp_path / "notes.txt").write_text("-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n")
    (tmp_path / "settings.py").write_text('AWS = "AKIAIOSFODNN7' + 'EXAMPLF"\n')

    assert secrets_look(tmp_path).problems == ("notes.txt:1 Private Key", "settings.py:1 AWS Access Key")


def test_a_licence_is_refused_unless_it_leaves_the_choice_or_is_answered():
    packages = {
        "affero": "GNU Affero General Public License v3",
        "gpl": "GPL-3.0-only",
        "long-gpl": "GNU General Public License v2 (GPLv2)",
        "nobody-knows": "UNKNOWN",
        "lesser": "LGPL-3.0-only",
        "long-lesser": "GNU Lesser General Public License v3 (LGPLv3)",
        "choice": "MIT OR GPL-2.0-only",
        "answered": "Other/Proprietary License",
    }

    problems = licences_judge(packages, answers={("answered",)})

    assert [line.partition(":")[0] for line in problems] == ["affero", "gpl", "long-gpl", "nobody-knows"]


def test_an_answer_to_a_finding_that_is_gone_is_a_finding():
    told = unanswered([], name=lambda each: (each,), tell=str, answers={("gone.py", "Private Key")})

    assert told == ("answers.toml answers what nobody finds: gone.py, Private Key",)


def test_a_database_that_does_not_answer_is_told_and_is_no_clean_bill(tmp_path):
    look = advisories_look([("osv", "--osv-url", "http://127.0.0.1:9/v1/query")])

    assert not look.has_looked
    assert "NOTHING was looked up" in look.told


def test_a_database_that_knows_no_hole_of_an_old_django_is_not_believed(database, monkeypatch):
    monkeypatch.setattr(Advisories, "holes", {})

    assert not advisories_look([database]).has_looked


@pytest.mark.slow
def test_a_hole_in_a_package_is_named_with_its_version(database):
    look = advisories_look([database])

    assert look.has_looked
    assert look.problems == ("h11 0.16.0: GHSA-new",)


@pytest.mark.slow
def test_the_bills_name_every_package_of_the_environment_and_of_a_schools_pc(tmp_path):
    look = bill_write(tmp_path)

    assert look.problems == ()
    carried = json.loads((tmp_path / "school-pc.cdx.json").read_bytes())
    assert carried["bomFormat"] == "CycloneDX"
    onnxruntime = next(each for each in carried["components"] if each["name"] == "onnxruntime")
    hashes = [digest for reference in onnxruntime["externalReferences"] for digest in reference.get("hashes", ())]
    assert hashes

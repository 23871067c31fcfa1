"""The page for the wall, by the command that a school's installer runs."""

import json

from django.core.management import call_command

from node.own_addresses import own_addresses


def test_the_command_leaves_a_page_with_this_pcs_addresses(root, tmp_path, capsys):
    call_command("address_sheet", "--port", "8451", "--out", str(tmp_path / "sheet.html"), "--json")

    told = json.loads(capsys.readouterr().out)["addresses"]
    assert told == [f"http://{host}:8451" for host in own_addresses("0.0.0.0")]  # noqa: S104 - asks, binds nothing
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert page.count("<svg") == min(len(told), 3)
    assert all(address in page for address in told[:3])
    assert 'lang="tg"' in page

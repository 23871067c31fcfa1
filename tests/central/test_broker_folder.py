"""The embedded broker: what a reader finds is a whole message."""

from queue import Empty

import pytest
from kombu import Connection

from central.broker_folder import Transport, broker_folder_clean


class Looker:
    """A part of a message; while it is made into JSON somebody looks into the queue."""

    def __init__(self, look):
        self.look, self.seen = look, []

    def __json__(self):
        try:
            self.seen.append(self.look())
        except Empty:
            self.seen.append(None)
        return "e30="


def test_a_message_is_not_seen_before_it_is_whole(tmp_path):
    folders = {"data_folder_in": str(tmp_path), "data_folder_out": str(tmp_path), "control_folder": str(tmp_path)}
    with Connection("filesystem://", transport=Transport, transport_options=folders) as connection:
        sender, reader = connection.channel(), connection.channel()
        part = Looker(lambda: reader._get("q"))
        sender._put("q", {"body": part})
        assert part.seen == [None]
        assert reader._get("q") == {"body": "e30="}
        with pytest.raises(Empty):
            reader._get("q")
        assert list(tmp_path.iterdir()) == []


def test_damaged_broker_messages_are_thrown_away_and_whole_ones_stay(tmp_path):
    queue = tmp_path / "queue"
    queue.mkdir()
    for name, content in (("a", b""), ("b", b'{"body": "cu'), ("c", b"\xff"), ("d", b'{"body": ""}')):
        (queue / f"{name}.msg").write_bytes(content)
    assert broker_folder_clean(tmp_path) == 3
    assert [path.name for path in queue.iterdir()] == ["d.msg"]

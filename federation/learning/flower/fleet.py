"""The durable client's connection to a SuperLink: Flower's own, with its messages as bytes.

Refuses to know what is kept where. The functions of Flower that it calls are not public ones; the version is pinned and
a test with a real SuperLink covers them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.app import Context, Message, RecordDict
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import DeactivateNodeRequest
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectPushError,
    ObjectUnavailableError,
    pull_and_inflate_object_from_tree,
)
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.run import RunNotRunningException
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.fleet_http_connection import http_request_response
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from federation.learning.flower.client import app
from federation.learning.flower.exchange import ExchangeOver
from federation.learning.flower.keys import private_key_openssh
from federation.learning.flower.letter import Sending
from federation.trust.durable import durable_write

_log = logging.getLogger(__name__)
_NODE_ID = "node_id"
_LOST = (RunNotRunningException, ObjectPullError, ObjectUnavailableError)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowerFleet:
    """One open connection of a node."""

    node_id: int
    outbox: Path
    receive: Callable[[], tuple[Message, ObjectTree] | None]
    send: Callable[[Message, ObjectTree, float], tuple[set[str], str]]
    pull_object: Callable[[int, str], bytes]
    push_object: Callable[[int, str, str, bytes], None]
    confirm: Callable[[int, str], None]

    def question_claim(self) -> bytes | None:
        """Return a question, or None while there is none.

        Raises:
            ExchangeOver: its run ended meanwhile.
        """
        with _ended():
            received = self.receive()
            if received is None:
                return None
            run_id, message_id = received[0].metadata.run_id, received[0].metadata.message_id
            question = pull_and_inflate_object_from_tree(
                received[1],
                lambda piece: self.pull_object(run_id, piece),
                lambda _piece: self.confirm(run_id, message_id),
                return_type=Message,
            )
        question.metadata.__dict__["_message_id"] = message_id
        return bytes(message_to_proto(question).SerializeToString())

    def answer_begin(self, question: bytes) -> tuple[Sending, dict[str, bytes]]:
        """Let this installed release's app answer; return the pieces of the answer that the SuperLink lacks.

        Raises:
            ExchangeOver: the run has ended.
        """
        asked = message_from_proto(MessageProto.FromString(question))
        answer = app(message=asked, context=self._context(asked.metadata.run_id))
        with no_object_id_recompute(), _ended():
            answer.metadata.__dict__["_message_id"] = answer.object_id
            pieces = {name: each.deflate() for name, each in get_all_nested_objects(answer).items()}
            # Flower takes the content out of what it sends, so the pieces were cut first.
            lacking, session_id = self.send(answer, get_object_tree(answer), 0.0)
        sending = Sending(run_id=asked.metadata.run_id, session_id=session_id, lacking=tuple(sorted(lacking)))
        return sending, {name: pieces[name] for name in sending.lacking}

    def piece_send(self, sending: Sending, name: str, content: bytes) -> bool:
        """Let the SuperLink have a piece; False where it lacks no such piece in this session.

        Raises:
            ExchangeOver: the run has ended.
        """
        with _ended():
            try:
                self.push_object(sending.run_id, sending.session_id, name, content)
            except ObjectPushError:
                return False
        return True

    def _context(self, run_id: int) -> Context:
        return Context(
            run_id=run_id,
            node_id=self.node_id,
            node_config={"outbox": str(self.outbox)},
            state=RecordDict(),
            run_config={},
            series_id=run_id,
        )


@contextmanager
def fleet_open(*, superlink: str, authority: Path, node_key: Path, outbox: Path, home: Path) -> Iterator[FlowerFleet]:
    """Connect the node for as long as the context lasts; Flower ends the process with status 1 if it is refused.

    Raises:
        FlowerKeyRefused: `node_key` is not an unencrypted P-384 key in PEM.
    """
    key = cast("EllipticCurvePrivateKey", load_ssh_private_key(private_key_openssh(node_key.read_bytes()), None))
    certificates = authority.read_bytes()
    _predecessor_leave(superlink, certificates, key, home / _NODE_ID)
    # Named until the leave is taken: a client that is killed before leaves its name to the next one.
    with ExitStack() as ending:
        ending.callback((home / _NODE_ID).unlink, missing_ok=True)
        connection = ending.enter_context(
            http_request_response(
                superlink, insecure=False, root_certificates=certificates, authentication_keys=(key, key.public_key())
            )
        )
        node_id, receive, send, _run, _bundle, pull_object, push_object, confirm = connection
        durable_write(home / _NODE_ID, str(node_id).encode())
        yield FlowerFleet(
            node_id=node_id,
            outbox=outbox.absolute(),
            receive=receive,
            send=send,
            pull_object=pull_object,
            push_object=push_object,
            confirm=confirm,
        )


def _predecessor_leave(superlink: str, certificates: bytes, key: EllipticCurvePrivateKey, kept: Path) -> None:
    """Take leave for a client that was killed; without that the SuperLink refuses this one for up to a minute."""
    if not kept.exists():
        return
    with FleetHttpClient.from_server_address(
        superlink,
        insecure=False,
        root_certificates=certificates,
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="SuperNode"),
            NodeAuthHttpInterceptor(key, key.public_key()),
        ],
    ) as client:
        try:
            client.DeactivateNode(DeactivateNodeRequest(node_id=int(kept.read_text())))
        except httpx.HTTPError as error:
            # It may have been seen to be away already; whether this one is welcome, the connection itself will say.
            _log.info("no leave taken for the client before this one: %r", error)


@contextmanager
def _ended() -> Iterator[None]:
    try:
        yield
    except _LOST as error:
        raise ExchangeOver(reason=type(error).__name__) from error

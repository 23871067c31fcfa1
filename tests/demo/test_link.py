"""The demo's link between a school and the centre."""

import socket
import socketserver
import threading

import pytest

from federation.demo.link import Link


class _Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while piece := self.request.recv(65536):
            self.request.sendall(piece)


@pytest.fixture
def echo_port():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def link(echo_port):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    link = Link(port=port, target_port=echo_port)
    yield link
    link.close()


def test_a_link_that_is_up_carries_bytes_unchanged_and_counts_them_both_ways(link):
    sent = bytes(range(256)) * 1000

    with socket.create_connection(("127.0.0.1", link.port)) as near:
        near.sendall(sent)
        near.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: near.recv(65536), b""))

    assert received == sent
    assert (link.bytes_up, link.bytes_down) == (len(sent), len(sent))


def test_a_link_that_goes_down_cuts_what_is_open_and_refuses_what_is_new(link):
    near = socket.create_connection(("127.0.0.1", link.port))
    near.sendall(b"x")
    assert near.recv(1) == b"x"

    link.down()

    with near:
        assert near.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", link.port))


def test_a_link_that_comes_back_carries_again(link):
    link.down()

    link.up()

    with socket.create_connection(("127.0.0.1", link.port)) as near:
        near.sendall(b"again")
        assert near.recv(5) == b"again"

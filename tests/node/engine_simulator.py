"""An engine process without a model: a real Unix socket that speaks the engine's lines and honours what they ask.

A token is a word. The answer is always the same words; a temperature above 0 draws their order from the seed.
"""

import random
import select
import shutil
import socket
import threading

from federation.trust.release_bytes import index_build, index_digest
from federation.wire.canonical import canonical_bytes
from federation.wire.releases import ReleaseKind
from node.chat.engine_events import EngineEvent, EngineOp, EventKind, line_of, request_read
from node.installed.state import Phase, Slots, slots_write

WORDS = ("Пойтахти ", "Тоҷикистон ", "шаҳри ", "Душанбе ", "аст, ", "ва ", "он ", "зебо ", "мебошад.")
DIGEST = "d" * 64
VERSION = 3
ANSWER = "".join(WORDS)
QUESTION = [{"role": "user", "content": "Пойтахт кадом аст?"}]


class EngineSimulator:
    """Listens on `path` between `start` and `stop`."""

    def __init__(self, path):
        self.path = path
        self.requests = []
        self.failure_code = ""
        self.place = 0
        self.is_ending = False
        self.dies_after = 0
        self.words = WORDS
        self._stopped = set()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.reader_left = threading.Event()
        self._listener = None
        self._thread = None

    def start(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self):
        self.may_go_on.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self.path.unlink()

    def _serve(self):
        threads = []
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                break
            threads.append(threading.Thread(target=self._converse, args=(connection,)))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def _converse(self, connection):
        with connection, connection.makefile("rb") as lines:
            line = lines.readline()
            if not line:
                return
            try:
                self._answer(request_read(line), connection)
            except OSError:
                self.reader_left.set()

    def _answer(self, request, connection):
        self.requests.append(request)

        def send(**fields):
            connection.sendall(line_of(EngineEvent(**fields)))

        if self.failure_code:
            send(kind=EventKind.ERROR, code=self.failure_code)
        elif request.op is EngineOp.GENERATE:
            if self.place:
                send(kind=EventKind.QUEUED, place=self.place)
            self._generate(request, connection, send)
        elif request.op is EngineOp.STOP:
            self._stopped.add(request.generation)
            send(kind=EventKind.DONE, is_stopped=True)
        else:
            send(kind=EventKind.DONE, release=DIGEST, version=VERSION)

    def _generate(self, request, connection, send):
        words = list(self.words)
        if request.temperature > 0:
            random.Random(request.seed).shuffle(words)
        text, count, is_cut = "", 0, False
        while count < min(len(words), request.max_tokens) and not is_cut and request.generation not in self._stopped:
            piece = words[count]
            for stop in request.stop:
                if stop in text + piece:
                    piece, is_cut = (text + piece).partition(stop)[0][len(text) :], True
            text, count = text + piece, count + 1
            if piece:
                send(kind=EventKind.PIECE, text=piece)
            if count == self.dies_after:
                raise ConnectionAbortedError
            while not self.may_go_on.wait(0.01) and request.generation not in self._stopped:
                if select.select([connection], [], [], 0)[0]:
                    raise BrokenPipeError
        send(
            kind=EventKind.DONE,
            text=text.strip(),
            release=DIGEST,
            version=VERSION,
            is_stopped=self.is_ending or request.generation in self._stopped,
            is_complete=is_cut or count == len(words),
            prompt_tokens=sum(len(message.text.split()) for message in request.messages),
            tokens=count,
        )


def release_lay(root):
    """Install a release of VERSION under `root` that only its index makes one."""
    made = root / "made"
    made.mkdir()
    (made / "card.json").write_text("{}")
    index = index_build(package=made, kind=ReleaseKind.BASE, version=VERSION, title="t", base=None, contributions=())
    folder = root / "releases" / index_digest(index)
    shutil.copytree(made, folder)
    (folder / "index.json").write_bytes(canonical_bytes(index))
    slots_write(root, Slots(current=folder.name, phase=Phase.COMMITTED))

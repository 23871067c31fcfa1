"""A hub of models on a loopback port: it lists a folder as a repository and gives its files out by revision."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SHA = "0123456789abcdef0123456789abcdef01234567"


class HubSimulator(ThreadingHTTPServer):
    """Serves `folder` as `repository`; `fetched` holds the names of the files that it gave out."""

    daemon_threads = True

    def __init__(self, folder, repository):
        super().__init__(("127.0.0.1", 0), _Door)
        self.folder, self.repository = folder, repository
        self.fetched = []

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Door(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self._answer(has_body=False)

    def do_GET(self):
        self._answer(has_body=True)

    def log_message(self, *words):
        pass

    def _answer(self, *, has_body):
        hub = self.server
        files = f"/{hub.repository}/resolve/{SHA}/"
        if self.path.split("?")[0] in {f"/api/models/{hub.repository}", f"/api/models/{hub.repository}/revision/main"}:
            siblings = [
                {"rfilename": path.relative_to(hub.folder).as_posix()} for path in sorted(hub.folder.rglob("*.*"))
            ]
            self._send(json.dumps({"id": hub.repository, "sha": SHA, "siblings": siblings}).encode(), {}, has_body)
        elif self.path.startswith(files):
            name = self.path.removeprefix(files)
            if has_body:
                hub.fetched.append(name)
            body = (hub.folder / name).read_bytes()
            self._send(body, {"X-Repo-Commit": SHA, "ETag": f'"{hashlib.sha256(body).hexdigest()}"'}, has_body)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, body, headers, has_body):
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if has_body:
            self.wfile.write(body)


@contextmanager
def hub_running(folder, repository):
    with HubSimulator(folder, repository) as hub:
        thread = threading.Thread(target=hub.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()

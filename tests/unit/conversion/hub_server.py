"""A server on loopback that looks like a model hub: one repository, one commit, byte ranges."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "c0ffee" + "0" * 34


class Hub(ThreadingHTTPServer):
    """Lends the files of a folder as ``owner/model``.

    Attributes:
        asked: (method, path, range) of every request.
        ailing: whether the next answer with weights ends in the middle, and all after it fail.
        lies: a name whose hash is stated wrongly.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.asked: list[tuple[str, str, str]] = []
        self.ailing = self.down = False
        self.lies = ""

    @property
    def address(self) -> str:
        """What HF_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self.server_port}"

    def names(self) -> list[str]:
        """Return the files as the hub lists them."""
        files = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        return [path.relative_to(self.folder).as_posix() for path in files]


class Handler(BaseHTTPRequestHandler):
    """Answers what a client of a hub asks."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, *, body: bool) -> None:
        path = unquote(self.path.partition("?")[0])
        self.server.asked.append((self.command, path, self.headers.get("Range", "")))
        if self.server.down:
            self._nothing(503)
        elif path.startswith("/api/models/owner/model/revision/"):
            self._json({"id": "owner/model", "sha": COMMIT, "siblings": [
                {"rfilename": name} for name in self.server.names()
            ]})  # fmt: skip
        elif path.startswith(f"/owner/model/resolve/{COMMIT}/"):
            self._file(path.removeprefix(f"/owner/model/resolve/{COMMIT}/"), body)
        else:
            self._nothing(404)

    def _nothing(self, code: int) -> None:
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, document: object) -> None:
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _file(self, name: str, body: bool) -> None:
        data = (self.server.folder / name).read_bytes()
        begin = int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0])
        digest = hashlib.sha256(data).hexdigest()
        if name == self.server.lies:
            digest = "0" * 64
        self.send_response(206 if self.headers.get("Range") else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{digest}"')
        self.send_header("X-Linked-Size", str(len(data)))
        if self.headers.get("Range"):
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        if not body:
            return
        part = data[begin:]
        if self.server.ailing and name.endswith(".bin"):
            self.server.down = self.close_connection = True
            part = part[: len(part) // 2]
        self.wfile.write(part)


@contextmanager
def serving(folder: Path) -> Iterator[Hub]:
    """Lend a hub while the block runs."""
    hub = Hub(folder)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()

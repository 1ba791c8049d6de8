"""A hub on 127.0.0.1 that serves repositories from memory, as much of it as `huggingface_hub` asks for."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class FakeHub:
    """`files[repo][revision][path] -> bytes`. `requests` lists what was asked for, as (method, path)."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, dict[str, bytes]]] = {}
        self.requests: list[tuple[str, str]] = []
        self.tokens: dict[str, str] = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                hub._answer(self)

            def do_GET(self) -> None:
                hub._answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, repo: str, files: dict[str, bytes], revision: str = "main") -> str:
        """Publishes a revision and returns its commit."""
        self.files.setdefault(repo, {})[revision] = files
        self.files[repo][self.commit(repo, revision)] = files
        return self.commit(repo, revision)

    def commit(self, repo: str, revision: str) -> str:
        content = sorted((name, hashlib.sha1(data).hexdigest()) for name, data in self.files[repo][revision].items())
        return hashlib.sha1(json.dumps([repo, content]).encode()).hexdigest()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(request.path.split("?")[0])
        self.requests.append((request.command, path))
        listing = re.fullmatch(r"/api/models/(.+)/tree/([^/]+)", path)
        if listing is not None:
            names = self.files[listing[1]][listing[2]]
            files = [{"type": "file", "path": name, "size": len(data), "oid": ""} for name, data in names.items()]
            return self._send(request, 200, None, {"Content-Type": "application/json"}, json.dumps(files).encode())
        repo, _, rest = path.removeprefix("/").partition("/resolve/")
        revisions = self.files.get(repo)
        allowed = self.tokens.get(repo) in (None, request.headers.get("Authorization", "").removeprefix("Bearer "))
        if revisions is None or not allowed:
            return self._send(
                request, 401 if revisions is None else 403, "RepoNotFound" if revisions is None else "GatedRepo"
            )
        revision = max((name for name in revisions if rest.startswith(name + "/")), key=len, default=None)
        if revision is None:
            return self._send(request, 404, "RevisionNotFound")
        commit = {"X-Repo-Commit": self.commit(repo, revision)}
        data = revisions[revision].get(rest.removeprefix(revision + "/"))
        if data is None:
            return self._send(request, 404, "EntryNotFound", commit)
        headers = commit | {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "Accept-Ranges": "bytes"}
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        self._send(request, 206 if start else 200, None, headers, data[start:])

    def _send(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        error: str | None = None,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> None:
        request.send_response(status)
        for name, value in ((headers or {}) | ({"X-Error-Code": error} if error else {})).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body)

"""A small hub on this machine: the part of the Hugging Face Hub's protocol that presets need."""

import base64
import contextlib
import hashlib
import http.server
import json
import threading


class Hub(http.server.BaseHTTPRequestHandler):
    """Repositories as {"user/repo": [(commit, {name: bytes}), ...]}."""

    repositories: dict
    requests: list
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def _answer(self, status, content=b"", **headers):
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _missing(self):
        self._answer(404, {"error": "not found"}, X_Error_Code="RepoNotFound")

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.requests.append((self.command, self.path))
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self._model("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main")
        return self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))

    def _commit(self, repository, revision):
        commits = self.repositories.get(repository, [])
        named = [c for c in commits if c[0] == revision]
        return named[0] if named else commits[-1] if commits and revision == "main" else None

    def _model(self, repository, revision):
        found = self._commit(repository, revision)
        if not found:
            return self._missing()
        commit, files = found
        siblings = [{"rfilename": n, "size": len(c)} for n, c in files.items()]
        self._answer(200, {"id": repository, "sha": commit, "siblings": siblings})

    def _file(self, repository, revision, name):
        found = self._commit(repository, revision)
        if not found or name not in found[1]:
            return self._missing()
        commit, content = found[0], found[1][name]
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        self._answer(200, content, ETag=etag, X_Repo_Commit=commit)

    def do_POST(self):
        self.requests.append((self.command, self.path))
        body, parts = self._body(), self.path.split("?")[0].strip("/").split("/")
        if parts == ["api", "repos", "create"]:
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            self.repositories.setdefault(name, [])
            return self._answer(200, {"url": f"http://{self.headers['Host']}/{name}"})
        if parts == ["api", "validate-yaml"]:
            return self._answer(200, {"warnings": [], "errors": []})
        repository = "/".join(parts[2:4])
        if parts[4] == "preupload":
            asked = json.loads(body)["files"]
            known = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked
            ]
            return self._answer(200, {"files": known})
        commits = self.repositories[repository]
        files = dict(commits[-1][1]) if commits else {}
        for line in body.splitlines():
            item = json.loads(line)
            if item["key"] == "file":
                files[item["value"]["path"]] = base64.b64decode(item["value"]["content"])
        commit = hashlib.sha1(body).hexdigest()
        commits.append((commit, files))
        url = f"http://{self.headers['Host']}/{repository}/commit/{commit}"
        self._answer(200, {"commitUrl": url, "commitOid": commit, "success": True})


@contextlib.contextmanager
def serve():
    """A hub, empty at first: `(address, repositories, requests)`."""
    handler = type("Handler", (Hub,), {"repositories": {}, "requests": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.repositories, handler.requests
    finally:
        server.shutdown()
        server.server_close()

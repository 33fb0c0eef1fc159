"""The server of `explore`: for this machine, and with files of the page only."""

import http.client
import threading

import pytest

from tools import explore

pytestmark = pytest.mark.once


@pytest.fixture
def asked(tmp_path):
    """A function that asks the server of a small page: of a path and a host, its status."""
    page = tmp_path / "page"
    (page / "inside").mkdir(parents=True)
    (page / "explore.json").write_text("{}")
    (tmp_path / "secret").write_text("a secret")
    (page / "link").symlink_to(tmp_path / "secret")
    (page / "folder").symlink_to(tmp_path)
    (page / "own").symlink_to(page / "explore.json")
    server = explore._server(page, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def ask(path, host=None, method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        name = f"127.0.0.1:{server.server_port}" if host is None else host
        connection.request(method, path, headers={"Host": name})
        answer = connection.getresponse()
        return answer.status, answer.read()

    ask.port = server.server_port
    yield ask
    server.shutdown()
    server.server_close()


def test_the_page_is_served(asked):
    assert asked("/explore.json") == (200, b"{}")
    assert asked("/explore.json", f"localhost:{asked.port}")[0] == 200
    # A link inside the page leads nowhere else.
    assert asked("/own") == (200, b"{}")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "127.0.0.1:1"]
)
def test_a_site_of_another_name_is_not_answered(asked, host, method):
    status, content = asked("/explore.json", host, method)
    assert status == 403 and b"{}" != content


@pytest.mark.parametrize(
    "path", ["/link", "/folder/secret", "/../secret", "/%2e%2e/secret", "/inside/", "/inside"]
)
def test_nothing_else_is_shown(asked, path):
    status, content = asked(path)
    assert status in (404, 301) and b"a secret" not in content

"""Pages behind a proxy that gives them another place, as jupyter-server-proxy does."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urljoin

import pytest

from daskflow.dashboard.serving import Server
from tests import site_client
from tests.served_run import COOKIE, TOKEN, wait_until_heard
from tests.told_runs import told_run, until
from tests.told_source import Told, until_now


@contextmanager
def proxy(target: str, keeps_host: bool) -> Iterator[str]:
    """A server that serves ``/user/ann/proxy/PORT/PATH`` by ``/PATH`` of another; yields its host and port."""

    class Handler(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            path = "/" + self.path.split("/", 5)[5]
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
            headers = dict(self.headers)
            if not keeps_host:
                headers |= {"Host": target, "X-Forwarded-Host": self.headers["Host"]}
            connection = http.client.HTTPConnection(target, timeout=60)
            connection.request(self.command, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name not in ("Content-Length", "Connection", "Date"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_GET = do_POST = pass_on  # noqa: N815  names of the standard library

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("keeps_host", [True, False])
def test_pages_work_below_any_path_of_a_proxy(keeps_host: bool) -> None:
    # given
    source = Told(until_now(until(told_run(), 0.6)))
    with Server(source, act=source.act, token=TOKEN) as server:
        wait_until_heard(server)
        target = server.address.split("/")[2]
        below = f"/user/ann/proxy/{target.split(':')[1]}/"
        with proxy(target, keeps_host) as place:
            # when the link is followed
            first = site_client.ask(place, f"{below}daskflow?token={TOKEN}")
            page_path = urljoin(f"{below}daskflow", first.headers["Location"])
            page = site_client.ask(place, page_path, Cookie=COOKIE)
            # then all that the page loads and links to is there
            assert (first.status, page_path, page.status) == (302, f"{below}daskflow", 200)
            links = re.findall(r'(?:href|src)="([^"#]+)"', page.text)
            assert len(links) > 10
            for link in links:
                assert link == "data:," or not re.match(r"[a-z]+:|/", link), link
                if link.startswith("daskflow"):
                    path = urljoin(page_path, link.replace("&amp;", "&"))
                    assert site_client.ask(place, path, Cookie=COOKIE).status == 200, link
            # and so are its feed and its buttons
            own, body = f"http://{place}", b'{"command": "pause"}'
            feed = f"{below}daskflow-feed?page=overview"
            asked = {"Cookie": COOKIE, "Origin": own, "X_Daskflow": "1"}
            assert site_client.ask(place, feed, Cookie=COOKIE).json["header"]["status"] == "running"
            assert site_client.ask(place, f"{below}daskflow-do", "POST", body, **asked).status == 200
            asked["Origin"] = "http://127.0.0.1:9"
            assert site_client.ask(place, f"{below}daskflow-do", "POST", body, **asked).status == 403

"""Site: pages, feed and actions of watched runs over HTTP, behind the token of each run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from tornado.ioloop import IOLoop
from tornado.web import Application, RequestHandler

from daskflow.core.access import onward, without_token
from daskflow.dashboard.answering import Guarded, parsed
from daskflow.dashboard.asking import Do, SetReplay
from daskflow.dashboard.feed import have_of
from daskflow.dashboard.prometheus import metrics_of
from daskflow.dashboard.static import static_file
from daskflow.dashboard.summary import summary_of, trial_of
from daskflow.dashboard.watched import NoSuchPageError, Watched

WAIT_SECONDS = 10.0
"""A question that asks to wait is answered by then at the latest."""

PAGES = {"daskflow": "overview"} | {
    f"daskflow-{key}": key for key in ("data", "search", "evaluation", "stream", "history")
}


def application(
    find: Callable[[str], Watched | None],
    list_runs: Callable[[], Sequence[Watched]],
    *,
    prefix: str = "/",
    dask_pages: bool = False,
    allowed_origins: Sequence[str] = (),
) -> Application:
    """Return the web application.

    Parameters
    ----------
    find : callable
        Returns a run by its id.
    list_runs : callable
        Returns all runs, the newest first.
    prefix : str
        Below which the pages are.
    dask_pages : bool
        Whether Dask's own pages are beside them.
    allowed_origins : sequence of str
        Names with ports that a proxy serves these pages under.
    """
    site = {"find": find, "list_runs": list_runs, "dask": dask_pages, "allowed": tuple(allowed_origins)}
    return _made(_routes(prefix), site)


def lone_application(
    find: Callable[[str], Watched | None],
    list_runs: Callable[[], Sequence[Watched]],
    *,
    allowed_origins: Sequence[str] = (),
) -> Application:
    """Return the web application for a server that serves nothing else; see `application`."""
    site = {"find": find, "list_runs": list_runs, "dask": False, "allowed": tuple(allowed_origins)}
    return _made([*_routes("/"), ("/", ToFirstPage), ("/.*", Unknown)], site)


def _made(routes: Sequence[tuple[str, type[RequestHandler]]], site: Mapping[str, Any]) -> Application:
    return Application([(path, kind, {"site": site}) for path, kind in routes], log_function=_without_address)


def _routes(prefix: str) -> list[tuple[str, type[RequestHandler]]]:
    base = f"/{prefix.strip('/')}/" if prefix.strip("/") else "/"
    pages = "|".join(sorted(PAGES, key=len, reverse=True))
    return [
        (rf"{base}({pages})", Page),
        (rf"{base}({pages})/", WithoutSlash),
        (rf"{base}daskflow-static/([A-Za-z0-9_.-]+)", Static),
        (rf"{base}daskflow-feed", FeedAnswer),
        (rf"{base}daskflow-trial", Trial),
        (rf"{base}daskflow-do", Do),
        (rf"{base}daskflow-replay", SetReplay),
        (rf"{base}daskflow\.json", Summary),
        (rf"{base}daskflow-metrics", Metrics),
    ]


def _without_address(handler: RequestHandler) -> None:
    """Log nothing of a request: its address may hold a token."""


class ToFirstPage(Guarded):
    """The way to the first page."""

    def get(self) -> None:
        """Send on."""
        self.redirect("daskflow")


class Unknown(Guarded):
    """What there is not; whoever shows no token is not even told that."""

    def get(self) -> None:
        """Say so."""
        self.say(HTTPStatus.NOT_FOUND, {"error": "There is no such page."})


class Page(Guarded):
    """The HTML of a page."""

    async def get(self, path: str) -> None:
        """Send it; an address with a token is answered by the way to the same one without."""
        if self.get_query_arguments("token"):
            request = self.request
            status, headers = onward(request.path, without_token(request.query), request.headers.get("Sec-Fetch-Site"))
            self.set_status(status)
            for name, value in headers.items():
                self.set_header(name, value)
            self.finish("")
            return
        run = self.run_asked_for()
        if run is None:
            return
        try:
            self.send(await run.page(PAGES[path]), "text/html; charset=utf-8")
        except NoSuchPageError:
            if run.first_page == "stream":  # a stream was chosen on a page that only runs have
                self.redirect(f"daskflow-stream?run={quote(run.id)}")
            else:
                self.say(HTTPStatus.NOT_FOUND, {"error": "This version has no such page."})


class WithoutSlash(Guarded):
    """The way to a page for whoever put a slash behind its address: links of pages are relative."""

    def get(self, path: str) -> None:
        """Send on."""
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect(f"../{path}{query}")


class Static(Guarded):
    """A script or a style sheet."""

    async def get(self, name: str) -> None:
        """Send it; with its version in the address browsers may keep it."""
        found = await IOLoop.current().run_in_executor(None, static_file, name)
        if found is None:
            self.say(HTTPStatus.NOT_FOUND, {"error": "There is no such file."})
            return
        is_versioned = self.get_query_argument("v", "") == found.version
        self.set_header("Cache-Control", "private, max-age=31536000, immutable" if is_versioned else "no-cache")
        self.set_header("Content-Type", found.kind)
        self.set_header("Vary", "Accept-Encoding")
        self.set_header("Etag", f'"{found.version}"')
        if self.check_etag_header():
            self.set_status(HTTPStatus.NOT_MODIFIED)
            self.finish()
            return
        is_packed = "gzip" in self.request.headers.get("Accept-Encoding", "")
        if is_packed:
            self.set_header("Content-Encoding", "gzip")
        self.finish(found.packed if is_packed else found.content)


class FeedAnswer(Guarded):
    """What changed on a page."""

    _is_gone = False

    def on_connection_close(self) -> None:
        """Wait no longer."""
        super().on_connection_close()
        self._is_gone = True

    async def get(self) -> None:
        """Answer when something changed, or at once."""
        run = self.run_asked_for()
        if run is None:
            return
        with run.looking():
            try:
                answer = await self._answer(run)
            except NoSuchPageError:
                self.say(HTTPStatus.NOT_FOUND, {"error": "This version has no such page."})
                return
        if answer is not None:
            run.answered()
            self.send(answer, "application/json")

    async def _answer(self, run: Watched) -> bytes | None:
        page, boot = self.get_query_argument("page", "overview"), self.get_query_argument("boot", "")
        told = have_of(parsed(self.get_query_argument("have", "")))
        now = IOLoop.current().time
        until = now() + (WAIT_SECONDS if self.get_query_argument("wait", "") == "1" else 0.0)
        before = run.header(self.runs, dask=self.site["dask"])
        while not self._is_gone:
            feed = await run.feed_of(page)
            feed.refresh(page)
            header = run.header(self.runs, dask=self.site["dask"])
            has_turned = _differ(before, header)
            if has_turned or header["over"]:  # after a last word nobody asks again
                feed.catch_up(page)
            lacking = feed.changes(page, told if boot == feed.boot else have_of(None))
            if lacking or boot != feed.boot or has_turned or run.is_closed or now() >= until:
                return feed.written(lacking, header)
            await run.news(min(until - now(), feed.due(page)))
        return None


def _differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether more than the time is another."""
    said = [
        {name: value for name, value in header.items() if name != "now"}
        | {"replay": header["replay"] and {**header["replay"], "at": None}}
        for header in (before, after)
    ]
    return said[0] != said[1]


class Trial(Guarded):
    """Everything that is known of one trial."""

    def get(self) -> None:
        """Send it."""
        run = self.run_asked_for()
        if run is None:
            return
        found = run.state.search.trials.get(self.get_query_argument("trial", ""))
        if found is None:
            self.say(HTTPStatus.NOT_FOUND, {"error": "There is no such trial."})
            return
        self.say(HTTPStatus.OK, trial_of(found, run.state.search))


class Summary(Guarded):
    """The run in a few numbers, for other tools."""

    def get(self) -> None:
        """Send it."""
        run = self.run_asked_for()
        if run is None:
            return
        run.was_read()
        self.say(HTTPStatus.OK, summary_of(run.state, run.now))


class Metrics(Guarded):
    """The runs in Prometheus' text format."""

    def get(self) -> None:
        """Send it."""
        for run in self.runs:
            run.was_read()
        content = metrics_of([(run.state, run.now) for run in self.runs])
        self.send(content.encode(), "text/plain; version=0.0.4; charset=utf-8")

"""Site: pages, feed and actions of watched runs over HTTP, behind the token of each run."""

from __future__ import annotations

import gzip
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from tornado.ioloop import IOLoop
from tornado.web import Application, HTTPError, RequestHandler

from daskflow.core.access import cookie_name, granted, is_foreign
from daskflow.core.control import WORDS, Command
from daskflow.dashboard.feed import have_of, json_of
from daskflow.dashboard.prometheus import metrics_of
from daskflow.dashboard.refusal import refuse
from daskflow.dashboard.static import static_file
from daskflow.dashboard.summary import summary_of, trial_of
from daskflow.dashboard.watched import Watched

logger = logging.getLogger(__name__)

WAIT_SECONDS = 10.0
"""A question that asks to wait is answered by then at the latest."""

PACKED_BYTES = 20_000
"""Answers from this size on are compressed: a phone or a tunnel may be slow, this machine is not."""

MOST_BODY = 10_000

POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src data:; frame-ancestors 'self'; base-uri 'none'; form-action 'self'"
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

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
    base = f"/{prefix.strip('/')}/" if prefix.strip("/") else "/"
    pages = "|".join(sorted(PAGES, key=len, reverse=True))
    routes: list[tuple[str, type[RequestHandler]]] = [
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
    return Application([(path, kind, {"site": site}) for path, kind in routes], log_function=_without_address)


def _without_address(handler: RequestHandler) -> None:
    """Log nothing of a request: its address may hold a token."""


class Guarded(RequestHandler):
    """Whatever shows the token of at least one run, and is not asked for by a foreign page."""

    runs: Sequence[Watched] = ()
    """Those that the token opens, the newest first."""

    def initialize(self, site: Mapping[str, Any]) -> None:
        """Take what all share."""
        self.site = site

    def set_default_headers(self) -> None:
        """Say what browsers may do with an answer."""
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Refuse whoever shows no token, and pages of other places."""
        headers = self.request.headers
        if is_foreign(str(self.request.method), headers, self.site["allowed"]):
            refuse(self, "Another web page asked for this. Open the pages by their own address.")
            return
        shown = self.get_query_arguments("token")
        self.runs = [
            run
            for run in self.site["list_runs"]()
            if granted(
                run.seal,
                query=shown,
                cookie_header=headers.get("Cookie"),
                authorization=headers.get("Authorization"),
            )
        ]
        if not self.runs:
            refuse(self)
            return
        for run in self.runs:
            token = next((each for each in shown if granted(run.seal, query=[each])), "")
            if token:
                self.set_cookie(
                    cookie_name(run.seal), token, path="/", httponly=True, samesite="Strict", secure=self._is_encrypted
                )

    @property
    def _is_encrypted(self) -> bool:
        return self.request.protocol == "https"

    def run_asked_for(self, told: object = None) -> Watched | None:
        """Return the run that is named, or else the newest; when the token does not open it, the answer is sent."""
        name = self.get_query_argument("run", "") if told is None else str(told)
        chosen = next((run for run in self.runs if run.id == name), None) if name else self.runs[0]
        if chosen is None:
            known = self.site["find"](name)
            if known is None:
                self.say(HTTPStatus.NOT_FOUND, {"error": "There is no such run here; it may have ended long ago."})
            else:
                refuse(self)
        return chosen

    def say(self, status: int, told: Any) -> None:
        """Send an answer as JSON."""
        self.set_status(status)
        self.send(json_of(told), "application/json")

    def send(self, content: bytes, kind: str) -> None:
        """Send an answer, compressed where that is worth it and understood."""
        self.set_header("Content-Type", kind)
        if len(content) >= PACKED_BYTES and "gzip" in self.request.headers.get("Accept-Encoding", ""):
            content = gzip.compress(content, 1, mtime=0)
            self.set_header("Content-Encoding", "gzip")
        self.set_header("Vary", "Accept-Encoding")
        self.finish(content)

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        """Log what failed, but not the address: it may hold a token."""
        if not isinstance(error, HTTPError) or error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.warning("%s %s failed.", self.request.method, self.request.path, exc_info=(kind, error, trace))

    def write_error(self, status_code: int, **reason: Any) -> None:
        """Say in a sentence that it failed; what exactly stands in the log."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code}: {HTTPStatus(status_code).phrase}. The run is not touched by this.")


class Page(Guarded):
    """The HTML of a page."""

    async def get(self, path: str) -> None:
        """Send it; an address with a token is answered by the way to the same one without."""
        if self.get_query_arguments("token"):
            kept = [(n, v) for n in self.request.query_arguments if n != "token" for v in self.get_query_arguments(n)]
            clean = f"{path}?{urlencode(kept)}" if kept else path
            if self.request.headers.get("Sec-Fetch-Site") == "cross-site":
                # Followed from another site, a redirect would be asked for without the cookie that was just set.
                self.set_header("Refresh", f"0; url={clean}")
                self.finish("")
                return
            self.redirect(clean)
            return
        run = self.run_asked_for()
        if run is None:
            return
        try:
            self.send(await run.page(PAGES[path]), "text/html; charset=utf-8")
        except KeyError:
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

    def compute_etag(self) -> None:
        """Keep the one that was set."""


class FeedAnswer(Guarded):
    """What changed on a page."""

    _is_gone = False

    def on_connection_close(self) -> None:
        """Wait no longer."""
        self._is_gone = True

    async def get(self) -> None:
        """Answer when something changed, or at once."""
        run = self.run_asked_for()
        if run is None:
            return
        with run.looking():
            try:
                answer = await self._answer(run)
            except KeyError:
                self.say(HTTPStatus.NOT_FOUND, {"error": "This version has no such page."})
                return
        if answer is not None:
            run.answered()
            self.send(answer, "application/json")

    async def _answer(self, run: Watched) -> bytes | None:
        page, boot = self.get_query_argument("page", "overview"), self.get_query_argument("boot", "")
        told = have_of(_parsed(self.get_query_argument("have", "")))
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
            if lacking or boot != feed.boot or has_turned or now() >= until:
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


def _parsed(text: str | bytes) -> Any:
    """Return JSON that a viewer sent; None when it is none."""
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None


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
        if run is not None:
            self.say(HTTPStatus.OK, summary_of(run.state, run.now))


class Metrics(Guarded):
    """The runs in Prometheus' text format."""

    def get(self) -> None:
        """Send it."""
        content = metrics_of([(run.state, run.now) for run in self.runs])
        self.send(content.encode(), "text/plain; version=0.0.4; charset=utf-8")


class Asked(Guarded):
    """What changes something: only by a script of the page, or by a tool that shows the token."""

    def prepare(self) -> None:
        """Refuse what a form of another page could send."""
        super().prepare()
        if not self._finished and not self.request.headers.get("X-Daskflow"):
            refuse(self, "The header X-Daskflow is missing.")

    async def post(self) -> None:
        """Do it, and answer in a sentence."""
        told = _parsed(self.request.body) if len(self.request.body) <= MOST_BODY else None
        if not isinstance(told, dict):
            self.say(HTTPStatus.BAD_REQUEST, {"error": "The body should be a small JSON object."})
            return
        run = self.run_asked_for(told.get("run") or "")
        if run is None:
            return
        try:
            self.say(HTTPStatus.OK, {"told": self.carry_out(run, told)})
        except PermissionError as error:
            self.say(HTTPStatus.CONFLICT, {"error": str(error)})
        except (ValueError, TypeError) as error:
            self.say(HTTPStatus.BAD_REQUEST, {"error": str(error)})

    def carry_out(self, run: Watched, told: Mapping[str, Any]) -> str:
        """Do what is asked; return a sentence."""
        raise NotImplementedError


class Do(Asked):
    """A command to the run."""

    def carry_out(self, run: Watched, told: Mapping[str, Any]) -> str:
        """Hand it on."""
        return run.act(command_of(told, run))


class SetReplay(Asked):
    """How a run that is over is told again."""

    def carry_out(self, run: Watched, told: Mapping[str, Any]) -> str:
        """Change it."""
        paused = told.get("paused")
        run.set_replay(
            speed=_number(told, "speed"), at=_number(told, "at"), paused=None if paused is None else bool(paused)
        )
        return "The replay was changed."


def command_of(told: Mapping[str, Any], run: Watched) -> Command:
    """Return what a viewer asks for.

    Raises
    ------
    ValueError
        When it cannot be, as a sentence.
    """
    word, trial = told.get("command"), str(told.get("trial") or "")
    if word not in WORDS:
        raise ValueError(f"There is no such command; there are {', '.join(WORDS)}.")
    if word == "cancel" and trial not in run.state.search.trials:
        raise ValueError("There is no such trial.")
    more = {name: _number(told, name) or 0.0 for name in ("wall_seconds", "cpu_hours", "trials")}
    if any(value < 0 for value in more.values()) or (word == "extend" and not any(more.values())):
        raise ValueError("Say by how much: wall_seconds, cpu_hours or trials, more than 0.")
    if word != "extend":
        return Command(word, trial=trial if word == "cancel" else "", by="page")
    return Command(
        word, wall_seconds=more["wall_seconds"], cpu_hours=more["cpu_hours"], trials=int(more["trials"]), by="page"
    )


def _number(told: Mapping[str, Any], name: str) -> float | None:
    value = told.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} should be a number.")
    return float(value)

"""The live pages: the same from the scheduler's own web server and from a run's folder.

What is shown of a run is a `state.RunState`, which hears the records of `core.live` and nothing else. A *screen* is one
page: figures without data, made once, and `slots` that say what stands in them now. A `feed` hands every viewer what
has changed since it last asked, made once for all viewers. A `site` puts pages and feed behind a token on a web
server: the scheduler's (`plugin`, `mounting`) or its own (`serving`).
"""

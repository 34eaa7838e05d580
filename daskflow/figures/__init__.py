"""Bokeh figures from results, shared by the live pages and the report.

Every function takes values of `daskflow.core.results` (or the plain values in them) and returns a bokeh figure that is
as wide as its place, has a name, holds at most `style.MAX_POINTS` points, and shows names and values as text, never as
markup. Colours carry on light and on dark ground; what should be black on light and white on dark (axes, titles,
glyphs tagged ``ink``) is for the page to set.
"""

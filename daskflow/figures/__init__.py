"""Bokeh figures from results, shared by the live pages and the report."""

"""Ensembles of one model per part of the rows."""

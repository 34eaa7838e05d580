"""The live pages; Dask's own dashboard is linked until they are built."""

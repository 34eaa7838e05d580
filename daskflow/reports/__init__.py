"""A run as one offline HTML page: `daskflow.reports.page.write`."""

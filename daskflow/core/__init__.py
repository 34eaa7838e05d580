"""What every room shares: errors, settings, registry, journal, events, results, run folder, protocols."""

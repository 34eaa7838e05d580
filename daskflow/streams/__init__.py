"""Real-time scoring."""

"""Workflow, Plan and Run: the only room that knows all the others."""

"""Schedules against torch stepping its own schedulers."""

"""Runs put together into a sweep, and its statistics. Nothing is trained, measured or drawn here."""

"""Errors, suggestions, terminal output, files and redaction: used everywhere, knowing no room."""

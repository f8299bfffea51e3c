"""Prompt templates and the store that keeps their versions in plain files."""

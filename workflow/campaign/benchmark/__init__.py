"""Measuring the running server on the campaign's own prompts."""

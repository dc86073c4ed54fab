"""Sending requests: one event loop at constant concurrency, every answer journalled the moment it arrives."""

"""Answers as journals hold them: written the moment they arrive, read back, found by key."""

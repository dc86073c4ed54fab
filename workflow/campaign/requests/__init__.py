"""From prompt files to requests with keys, streaming."""

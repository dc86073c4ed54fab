"""Which question a request is: its key, and what tells equal prompts apart."""

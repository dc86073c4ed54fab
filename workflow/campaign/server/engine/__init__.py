"""One vLLM engine: its command line, its start, how it is seen to be healthy."""

"""Whether vLLM would take a command line, before a server is started."""

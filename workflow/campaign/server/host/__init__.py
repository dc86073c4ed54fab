"""The node that a process runs on: its GPUs, memory, network and processes."""

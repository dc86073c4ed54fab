"""In which order a dataset's requests are asked: prompts that begin alike next to each other, where that spares work."""

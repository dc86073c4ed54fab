"""Allocations of a model whose prompts are made of other models' answers: when they start, wait and end."""

"""Stages: from the answers to one dataset to the requests of another."""

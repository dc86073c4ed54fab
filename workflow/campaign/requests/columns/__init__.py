"""The types of a dataset's passthrough columns."""

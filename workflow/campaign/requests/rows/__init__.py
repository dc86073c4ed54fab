"""From the rows of a dataset's files to requests."""

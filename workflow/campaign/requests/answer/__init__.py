"""`answer:` of a dataset: what is asked for, what an answer is then, and how it is asked again."""

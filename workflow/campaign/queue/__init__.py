"""What is asked and what is answered: shards, claims, journals, parts. Here lives "exactly one answer per prompt"."""

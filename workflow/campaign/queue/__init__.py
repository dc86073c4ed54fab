"""What is asked and what is answered: shards, leases, journals, parts. Here lives "exactly one answer per prompt"."""

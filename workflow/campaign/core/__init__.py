"""What every other folder rests on: paths, records, files, locks, processes, errors. Knows nothing of a campaign's rules."""

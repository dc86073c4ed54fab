"""What every run of an allocation took: seconds per phase, busy fraction, tokens."""

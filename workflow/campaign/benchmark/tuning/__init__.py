"""Tuning: which settings answer most prompts per SU, found while the prompts are answered."""

"""The command line: what people type, and the phases that Snakemake's rules run."""

from campaign.cli.commands import main

__all__ = ["main"]

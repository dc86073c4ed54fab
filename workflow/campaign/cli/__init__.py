"""The command line: what people type, and the phases that Snakemake's rules run."""

from campaign.core.garbage import pause_collection


def main() -> None:
    """Entry point of the program `campaign`."""
    pause_collection()
    from campaign.cli.commands import main as run

    run()

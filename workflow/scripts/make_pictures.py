"""Remake the pictures of the README from a campaign in results/: status.svg while it runs, report.png when it is finished.

python workflow/scripts/make_pictures.py status demo
python workflow/scripts/make_pictures.py report demo      # needs chromium
"""

import argparse
import io
import re
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console

from campaign.config import CampaignConfig, load_resolved
from campaign.core.paths import CampaignPaths
from campaign.report.build import build_report
from campaign.status import collect_status, render

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SIZE = "960,1240"  # pixels: the report's first page
CHROMIUM = (
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)


def picture_of_status(config: CampaignConfig) -> None:
    """What `campaign status` shows now."""
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    console.print(render(collect_status(config)))
    svg = console.export_svg(title=f"campaign status {config.campaign}")
    # A reader's own monospace font, instead of one from the network.
    (PICTURES / "status.svg").write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL))


def picture_of_report(config: CampaignConfig) -> None:
    """The top of report.html, which is made again first."""
    build_report(config)
    page = config.paths.report.resolve().as_uri()
    with tempfile.TemporaryDirectory() as profile:
        asked = (f"--user-data-dir={profile}", f"--window-size={SIZE}", f"--screenshot={PICTURES / 'report.png'}")
        subprocess.run([*CHROMIUM, *asked, page], check=True, capture_output=True)


def main() -> None:
    """Command line: which picture, of which campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", choices=("status", "report"))
    parser.add_argument("campaign")
    given = parser.parse_args()
    config = load_resolved(CampaignPaths(given.campaign).config)
    PICTURES.mkdir(exist_ok=True)
    {"status": picture_of_status, "report": picture_of_report}[given.picture](config)


if __name__ == "__main__":
    main()

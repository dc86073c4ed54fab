"""Which sites there are: this machine, and a TOML file in the folder `site` for each cluster."""

import tomllib
from functools import cache
from pathlib import Path

LOCAL = "local"  # this machine, without Slurm
FOLDER = Path(__file__).parents[1] / "site"


def site_files() -> dict[str, Path]:
    """The file of each cluster, by the cluster's name. What is in it: config.site_file."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def site_names() -> list[str]:
    """What the config's `site` may be: the clusters, and this machine."""
    return [*site_files(), LOCAL]


@cache
def default_cluster() -> str:
    """The cluster that is meant where no site is named: the one whose file says `default = true`, else the first."""
    files = site_files()
    return next((name for name, path in files.items() if _is_default(path)), next(iter(files)))


def _is_default(path: Path) -> bool:
    try:
        return tomllib.loads(path.read_text()).get("default") is True
    except (OSError, ValueError):  # whoever uses that cluster is told
        return False

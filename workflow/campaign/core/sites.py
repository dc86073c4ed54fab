"""Which sites there are: this machine, a TOML file in the folder `site` for each cluster, and any other file that is named."""

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


_OWN: dict[str, Path] = {}  # files that are named by their path, as far as this process has met them


def remember(path: Path) -> None:
    """Let what holds for the clusters of the workflow (signatures, shared models) hold for that of this file too."""
    _OWN[str(path)] = path


def known_files() -> dict[str, Path]:
    """The file of each cluster of the workflow, by its name, and of those of one's own."""
    return {**site_files(), **_OWN}


def own_file(site: str) -> Path | None:
    """The file of a site that is named by its path, relative to the working directory; None for a name."""
    return Path(site) if site.endswith(".toml") else None


def name_of(site: str) -> str:
    """The name of a site that may be named by its file; the profile that goes with it is called so, too."""
    path = own_file(site)
    return site if path is None else path.stem


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

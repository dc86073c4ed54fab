"""The documentation's commands and snippets, as they stand there."""

import re
import shutil
from pathlib import Path

from campaign.cli import docs

ROOT = docs.REPOSITORY
FOLDER = ROOT / "docs"
# Every page that people read; a new one in docs/ is found by itself.
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    docs.CONFIG_PAGE,
    *sorted(FOLDER.glob("*.md")),
]


def snippets(language: str, *pages: Path) -> list[str]:
    """The fenced blocks of a language, of all pages when none is named."""
    texts = [page.read_text() for page in pages or PAGES]
    return [code for text in texts for code in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]


def is_of_a_profile(code: str) -> bool:
    """Whether a block of YAML is part of a profile, and not of a campaign's config."""
    return code.startswith("default-resources:")


def describe_heron(root: Path) -> Path:
    """The site file and the profile of docs/another-cluster.md, below `root` as the page has them. Returns the profile's folder."""
    page = FOLDER / "another-cluster.md"
    (site,) = snippets("toml", page)
    (defaults,) = filter(is_of_a_profile, snippets("yaml", page))
    (root / "sites").mkdir()
    (root / "sites" / "heron.toml").write_text(site)
    profile = Path(shutil.copytree(ROOT / "profiles" / "alpine", root / "profiles" / "heron"))
    text = (profile / "config.yaml").read_text()
    (profile / "config.yaml").write_text(re.sub(r"(?m)^default-resources:\n(?:  .*\n)+", defaults, text))
    return profile


def without_snippets(page: Path) -> str:
    """A page's text without its fenced blocks."""
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def commands(program: str) -> list[str]:
    """Commands of a program in the fenced blocks and the inline code of all pages, without comments."""
    fenced = [line for block in snippets("bash") for line in block.splitlines()]
    inline = [code for page in PAGES for code in re.findall(r"`([^`\n]+)`", without_snippets(page))]
    lines = [line.split(" #")[0].split("&&")[-1].strip() for line in (*fenced, *inline)]
    return sorted({line for line in lines if line.startswith(f"{program} ")})


def anchors(page: Path) -> set[str]:
    """What a link may name behind `#`: a page's headings as GitHub spells them."""
    headings = re.findall(r"^#+ (.*)$", without_snippets(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[tuple[str, str]]:
    """A page's links and pictures within the repository: path from the page (empty: the page itself) and anchor."""
    targets = re.findall(r"\]\(([^)\s]+)\)", without_snippets(page))
    return [(path, anchor) for path, _, anchor in (target.partition("#") for target in targets) if "://" not in path]

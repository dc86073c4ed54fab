"""The documentation's commands and snippets, as they stand there."""

import re
from pathlib import Path

from campaign.cli import docs

PAGES = [docs.REPOSITORY / "README.md", docs.CONFIG_PAGE, *sorted((docs.REPOSITORY / "docs").glob("*.md"))]


def snippets(language: str, *pages: Path) -> list[str]:
    """The fenced blocks of a language."""
    return [code for page in pages for code in re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)]


def commands(program: str) -> list[str]:
    """Commands of a program in the fenced blocks and the inline code of all pages, without comments."""
    fenced = [line for block in snippets("bash", *PAGES) for line in block.splitlines()]
    texts = [re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL) for page in PAGES]
    inline = [code for text in texts for code in re.findall(r"`([^`\n]+)`", text)]
    lines = [line.split(" #")[0].split("&&")[-1].strip() for line in (*fenced, *inline)]
    return sorted({line for line in lines if line.startswith(f"{program} ")})

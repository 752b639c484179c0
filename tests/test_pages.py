"""The README and the pages in docs/: their links, their Python, and the files that they name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
FOLDERS = (".", "docs", "deploy", "deploy/workers", "saved_models", "saved_models/*")
PAGES = [page for folder in FOLDERS for page in sorted(TOP.glob(f"{folder}/*.md"))]


def anchors(page: Path) -> set[str]:
    """What `#...` may follow the page: its headings, as GitHub and GitLab name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("https:"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_contributors_find_every_module():
    text = (TOP / "docs" / "CONTRIBUTING.md").read_text()
    drawn, folder = set(), ""
    for line in text.partition("tfp_realnvp/\n")[2].partition("\ntests/")[0].splitlines():
        names = line.strip().split("  ")[0].split()
        if names[0].endswith("/"):
            folder = names[0]
        drawn.update(f"{folder}{name}" for name in names if name.endswith(".py"))
    package = TOP / "tfp_realnvp"
    there = {str(file.relative_to(package)) for file in package.glob("**/*.py")}
    assert drawn == {name for name in there if not name.endswith(("__init__.py", "__main__.py"))}


def test_contributors_find_every_benchmark():
    named = re.findall(r"\w+\.py", (TOP / "docs" / "CONTRIBUTING.md").read_text())
    assert {file.name for file in TOP.glob("benchmarks/*.py")} <= {"__init__.py", *named}


@pytest.mark.slow
def test_python_runs(tmp_path):
    """The Python of the README and then of the pages in docs/, as a user would paste it."""
    pages = [TOP / "README.md", *sorted(TOP.glob("docs/*.md"))]
    text = "".join(page.read_text() for page in pages)
    code = "".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    assert "training.train(" in code
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)

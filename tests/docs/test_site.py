"""The site: its verbs are the command line's, it builds, and it asks no other host for anything."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("make_verbs", ROOT / "docs" / "make_verbs.py")
make_verbs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_verbs)


def test_the_pages_of_the_verbs_are_up_to_date(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    made = make_verbs.pages()
    there = {path.name: path.read_text() for path in (ROOT / "docs" / "verbs").glob("*.md")}
    assert there == made, "run: python docs/make_verbs.py"


def test_every_page_of_docs_is_in_the_navigation():
    named = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    there = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    assert there <= named


def headings(text):
    """The anchors of a page, as the site makes them of its headings."""
    from markdown.extensions.toc import slugify

    prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    return {slugify(re.sub(r"[`*]", "", line), "-") for line in re.findall(r"^#+ (.+)$", prose, re.M)}


def test_links_between_pages_lead_somewhere():
    for path in [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", path.read_text()):
            there = path.parent / target if target else path
            assert there.exists(), f"{path.name} links to {target}"
            assert not anchor or anchor in headings(there.read_text()), f"{path.name} links to {target}#{anchor}"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocstrings", reason="needs the docs extra")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_loads_nothing_from_elsewhere(site):
    loads = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=["'](?:https?:)?//[^"']+["'][^>]*>""")
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        found = [tag for tag in loads.findall(page.read_text()) if 'rel="canonical"' not in tag]
        assert not found, (page.name, found)
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import\s*)[\"']?(?:https?:)?//", sheet.read_text()), sheet.name


def test_the_first_page_is_the_readme_and_the_api_has_its_docstrings(site):
    assert "says where to dig, not what the treasure is" in (site / "index.html").read_text()
    assert 'href="prove.html"' in (site / "index.html").read_text()
    api = (site / "api.html").read_text()
    assert "Records the dimensionality of a model" in api and 'id="geophone.store.sql.query"' in api

"""What the site adds to docs/ when it is built: the README as its first page, the log, what these show of results/, and
links between them."""

import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]


def on_files(files, config):
    """Add README.md as index.md and LOG.md as log.md; links into docs/ become links between pages."""
    for source, page in (("README.md", "index.md"), ("LOG.md", "log.md")):
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=linked(text)))
        for name in sorted(set(re.findall(r"\]\((results/[\w./-]+)\)", text))):
            files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def linked(text: str) -> str:
    """`text` of a file at the root, with its links as they are from inside docs/."""
    return re.sub(r"\]\((?:docs/([\w./-]+)|(LOG)\.md|(README)\.md)\)", _target, text)


def _target(match: re.Match) -> str:
    return f"]({match[1] or ('log.md' if match[2] else 'index.md')})"

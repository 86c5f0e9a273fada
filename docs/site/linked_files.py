"""Lets the site hold the files outside docs/ that its pages link to, as committed results.

Pages are written for the repository's web view, where such a link begins with `../`. Here a file of
the repository lies at its own path, beside the pages of docs/, and links are rewritten to match.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)[^)#\s]+")


def on_files(files: Files, config: Any) -> Files:
    """Add what pages link to, and what the pages so added link to."""
    waiting = list(files.documentation_pages())
    while waiting:
        page = waiting.pop()
        for path in linked(page):
            if files.get_file_from_path(path) is None and (ROOT / path).is_file():
                file = File.generated(config, path, abs_src_path=str(ROOT / path))
                files.append(file)
                if file.is_documentation_page():
                    waiting.append(file)
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Make the links of a page lead to where the site has the files, and read folded Markdown."""
    markdown = markdown.replace("<details>", "<details markdown>")
    folder = posixpath.dirname(page.file.src_uri)
    return LINK.sub(lambda m: posixpath.relpath(in_site(m[0], page.file), folder or "."), markdown)


def linked(page: File) -> Iterator[str]:
    """Give the files that a page links to, as the site names them."""
    return (in_site(link, page) for link in LINK.findall(page.content_string))


def in_site(link: str, page: File) -> str:
    """Give the place in the site of what a page links to: docs/ is its root."""
    at = Path(str(page.abs_src_path)).parent.relative_to(ROOT).as_posix()
    return posixpath.normpath(posixpath.join(at, link)).removeprefix("docs/")

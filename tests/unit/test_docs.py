"""The pages of the documentation: their links lead somewhere, and what they list is complete."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from handlers import routers

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "inngest_functions").glob("*.md")],
)
_FENCE = re.compile(r"^\s*```.*?^\s*```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def _prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    anchors: set[str] = set()
    for heading in _HEADING.findall(_prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchors.add(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return anchors


def _local_links(page: Path) -> list[str]:
    links = [first or second for first, second in _LINK.findall(_prose(page))]
    return [link for link in links if not re.match(r"[a-z]+:", link)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_a_page_lead_to_a_file_and_heading(page: Path) -> None:
    broken = []
    for link in _local_links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / unquote(path)).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert not broken


def test_index_links_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in _local_links(index)}
    decisions = ROOT / "docs" / "decisions"
    linked |= {(decisions / link).resolve() for link in _local_links(decisions / "README.md")}
    pages = {page for page in (ROOT / "docs").rglob("*.md") if page != index}
    assert sorted(page.relative_to(ROOT).as_posix() for page in pages - linked) == []


def test_readme_has_at_most_150_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_images_are_smaller_than_150_kb() -> None:
    images = [path for path in (ROOT / "docs" / "images").iterdir() if path.is_file()]
    assert images
    assert {path.name: path.stat().st_size for path in images if path.stat().st_size >= 150_000} == {}


def test_router_page_lists_the_routers_in_their_order() -> None:
    page = (ROOT / "docs" / "explanation" / "router-order.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \d+ \| \[`\w+`\]\(\.\./\.\./([\w/]+\.py)\)", page, re.MULTILINE)
    topics = {
        id(module.router): module.__name__.replace(".", "/") + ".py"
        for module in vars(routers).values()
        if hasattr(module, "router") and hasattr(module, "__file__")
    }
    assert listed == [topics[id(router)] for router in routers.ROUTERS]


def test_tables_of_prices_match_the_code() -> None:
    """The tiers on the page about prices are those that are sold."""
    from services.billing.subscriptions import TIERS

    page = (ROOT / "docs" / "explanation" / "prices.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| (\d+) % \|$", page, re.MULTILINE)
    assert rows == [(t.id, str(t.stars), str(t.credits), str(t.discount)) for t in TIERS.values()]

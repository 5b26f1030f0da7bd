"""The pages of the documentation list everything that they are meant to list, and are no longer than they may be."""

import re
from pathlib import Path

from handlers import routers
from services.billing.subscriptions import TIERS

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
_LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)")


def _linked_pages(page: Path) -> set[Path]:
    links = _LINK.findall(page.read_text(encoding="utf-8"))
    return {(page.parent / link).resolve() for link in links}


def test_index_links_every_page() -> None:
    linked = _linked_pages(DOCS / "README.md") | _linked_pages(DOCS / "decisions" / "README.md")
    missing = set(DOCS.rglob("*.md")) - {DOCS / "README.md"} - linked
    assert not missing


def test_readme_has_at_most_150_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_images_are_smaller_than_150_kb() -> None:
    images = list((DOCS / "images").iterdir())
    assert images
    assert [image.name for image in images if image.stat().st_size >= 150_000] == []


def test_router_page_lists_routers_in_their_order() -> None:
    page = (DOCS / "explanation" / "router-order.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \d+ \| \[`\w+`\]\(\.\./\.\./([\w/]+)\.py\)", page, re.MULTILINE)
    modules = {id(each.router): each.__name__ for each in vars(routers).values() if hasattr(each, "router")}
    assert listed == [modules[id(router)].replace(".", "/") for router in routers.ROUTERS]


def test_price_page_lists_tiers_as_they_are_sold() -> None:
    page = (DOCS / "explanation" / "prices.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| (\d+) % \|$", page, re.MULTILINE)
    assert listed == [(t.id, str(t.stars), str(t.credits), str(t.discount)) for t in TIERS.values()]

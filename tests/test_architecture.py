"""House rules that no tool holds: every file has its place in the import rules, and the README tells the truth."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = [folder.parent for folder in ROOT.glob("services/*/*/__init__.py")]


def _modules(*patterns: str) -> set[str]:
    return {
        f"{package.name}.{file.stem}"
        for package in PACKAGES
        for file in package.glob("*.py")
        if any(fnmatch(file.stem, pattern) for pattern in patterns)
    }


def test_every_module_stands_in_the_import_rules() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    contracts = {rule["name"]: rule for rule in rules}
    api, consumer = _modules("api", "api_*"), _modules("consumer")
    low = _modules("store", "store_*", "events", "domain")
    for name, sources, forbidden in (
        ("api never imports consumer", api, consumer),
        ("consumer never imports api", consumer, api),
        ("store, events and domain import neither api nor consumer", low, api | consumer),
        ("main is imported by nobody", api | consumer | low, _modules("main")),
    ):
        assert set(contracts[name]["source_modules"]) == sources, name
        assert set(contracts[name]["forbidden_modules"]) == forbidden, name
    pure = next(rule for name, rule in contracts.items() if name.startswith("domains import the standard library"))
    assert set(pure["source_modules"]) >= _modules("domain")


def test_every_service_has_the_same_files() -> None:
    wanted = {"domain", "events", "store", "consumer", "api", "settings", "main"}
    assert len(PACKAGES) == 7
    for package in PACKAGES:
        assert wanted <= {file.stem for file in package.glob("*.py")}, package.name
        assert len((package.parent / "README.md").read_text().splitlines()) == 15, package.name


def test_the_readme_names_tests_and_places_that_are_there() -> None:
    text = (ROOT / "README.md").read_text()
    promises = text[text.index("## What is promised") :]
    tests = re.findall(r"`((?:[\w./-]+/)?test_\w+\.py)(?:::(\w+))?`", promises)
    assert len(tests) > 10
    for path, name in tests:
        assert (ROOT / path).is_file(), path
        assert not name or re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), name
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_decisions_are_numbered_one_after_the_other() -> None:
    files = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    for number, file in enumerate(files, start=1):
        assert file.read_text().startswith(f"# {number}. "), file.name

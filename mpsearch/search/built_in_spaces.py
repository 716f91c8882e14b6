"""The search spaces that come with the package, by name; light, for a shell that completes names."""

from __future__ import annotations

from pathlib import Path


def built_in_spaces() -> dict[str, Path]:
    """Name -> file: `search_spaces/` of a source checkout, else the copy in the installed package."""
    package = Path(__file__).resolve().parent.parent
    checkout = package.parent
    in_checkout = (checkout / "pyproject.toml").is_file()
    folder = checkout / "search_spaces" if in_checkout else package / "resources" / "search_spaces"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"), key=lambda path: path.stem)}

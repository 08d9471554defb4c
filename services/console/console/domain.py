"""Who may hold a key, and how many: pure decisions."""

from typing import Final

KEY_ROLES: Final = ("admin", "manager", "marketing", "integration")
"""A machine key is nobody's rep, and services get theirs from the deployment."""
ACTIVE_KEYS_OF_A_NAME: Final = 2
"""One in use and one to rotate to."""


def may_issue(active_of_the_name: int) -> bool:
    """Say whether a name may get another key."""
    return active_of_the_name < ACTIVE_KEYS_OF_A_NAME

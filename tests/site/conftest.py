"""What the tests of the site share with those of sweeps."""

from tests.sweeps.conftest import stored, tiny

__all__ = ["stored", "tiny"]

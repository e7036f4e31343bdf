"""hostguardd: a resident host-integrity daemon. `CONTRIBUTING.md` holds the map of the rooms."""

__version__ = "0.1.0"

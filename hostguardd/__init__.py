"""hostguardd: a resident host-integrity daemon. `CONTRIBUTING.md` holds the map of the rooms."""

import sys

__version__ = "0.1.0"

if "investigate" in sys.argv:  # which changes nothing on the host; here, because no other module is read yet
    sys.dont_write_bytecode = True

"""What the package manager knows: which package owns a path, and whether it still is as it was packaged.

`interface.py` has the words; `dpkg.py` (with `dpkgdb`, its database) and `rpm.py` (with `rpmrun`, which runs
it, and `rpmdump`, what it says) are the two managers; `make.py` picks the one a host has. `expected` says how
a file departs from what was packaged, and `checking` has `reader` processes look at them all.
"""

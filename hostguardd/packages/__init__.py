"""What the package manager knows: which package owns a path, and whether it still is as it was packaged.

`interface.py` has the words, `dpkg.py` and `rpm.py` the two managers, `make.py` picks the one a host has.
"""

"""`hostguardctl investigate`: the whole inquiry of a host that may have been broken into, in one look.

`interface.py` has the words, `scene.py` what all checks share, `checks/` one room for each row of what an
administrator would look at by hand, `inquiry.py` asks them all and puts it together. The rule kept in all of
it: **nothing on the host is changed, and nothing of the host's is executed** but the package manager.
"""

"""Who did it: records of the kernel about deeds and processes, joined until a name is certain or refused.
Pure.

The rule kept in every room here: **never a guess**. A wrong name is worse than none, so whatever could have
been two processes is nobody, with both as candidates; what was not seen stays unknown (None), and a process
inherits only what a fork really inherits.
"""

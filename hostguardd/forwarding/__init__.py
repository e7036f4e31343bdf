"""How alerts leave the host: the log read on from a cursor, a courier for each destination, and what they
tell.

All of it runs in the unprivileged second process (`forward`), which may read the alert log and nothing else.
"""

"""What an administrator would find by hand, really planted on a booted host, and inquiries into it.

Runs inside that host with its own Python and nothing but the standard library; `test_investigate.py` judges
what the inquiries said. The same table is read outside to name the tests.
"""

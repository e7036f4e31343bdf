"""The only door to the host: files, mounts, /proc, sockets. Everything above sees it through here.

Other rooms get a host as an argument, so that a test can hand in one that lies, vanishes or fails.
"""

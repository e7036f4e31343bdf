"""What runs: programs and their owners, the kernel, the marks of known root kits."""

"""The evidence in one archive: what is gathered, in which order, and without which secrets."""

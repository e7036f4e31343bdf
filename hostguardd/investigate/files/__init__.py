"""One walk over all files, whose they are, and what of them runs something."""

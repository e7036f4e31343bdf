"""What the logs and the histories of shells tell, read once and bounded."""

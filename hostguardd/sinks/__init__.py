"""Where alerts go: one adapter for each kind of destination, behind `interface.Sink`."""

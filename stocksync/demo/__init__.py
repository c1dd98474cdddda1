"""`stocksync demo`: everything on this machine, with nothing to configure."""

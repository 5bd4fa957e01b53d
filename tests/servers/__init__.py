"""Real servers for tests: found (binaries), started on free loopback ports in private folders, and always stopped."""

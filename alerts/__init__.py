"""The alerting-policy application; its packages are the levels of the architecture (see docs/architecture.md)."""

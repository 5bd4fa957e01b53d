"""The agent: a small process beside a remote Prometheus. It fetches its server's bundle, delivers it, and reports.

A door like the API, of the other side: it knows the adapters and the domain, and neither Django, database nor broker.
"""

AGENT_VERSION = "1"
"""Grows when what it sends or understands does."""

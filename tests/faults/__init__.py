"""Faults that the product must survive, each with the test that shows it; figures are printed with ``-s``.

| fault | tests |
| --- | --- |
| ``kill -9`` of workers, beat, web, agent under a stream of edits | faults/test_kills_everywhere.py; at every single step: delivery/test_kills.py, agent/test_agent_kills.py |
| Redis stopped, frozen, flushed, restarted | tasks/test_celery.py, tasks/test_waking.py |
| PostgreSQL restarted under load | faults/test_database_restarts.py; web alone: monitoring/test_outage.py; each kind of worker: tasks/test_postgresql.py |
| one of 20 servers hangs, refuses, answers garbage | faults/test_one_of_twenty.py |
| the holder of a lease is frozen and wakes up | faults/test_frozen_holder.py; with Celery: tasks/test_celery.py; inside the store: adapters/test_fence.py |
| disk full, no inodes, read-only | faults/test_disk_and_clock.py; the store alone: adapters/test_disk_faults.py |
| the clock jumps by hours | faults/test_disk_and_clock.py; the lease alone: tasks/test_lease.py |
| the control plane is away | faults/test_control_plane_away.py; one agent: agent/test_agent.py |
| hostile clients | faults/test_hostile_clients.py; single bodies and lists: api/test_bodies.py, api/test_bad_policies.py, api/test_lists.py |
"""  # noqa: E501

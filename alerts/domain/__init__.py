"""What rules mean: layers in, compiled Prometheus rules out.

Pure Python: no Django, clock, file, process or network.
Reading order: ``layers``, ``resolver``, ``compiler``, ``renderer``.
"""

"""The measurements behind the project's claims of speed: one module per row of the table, all in one run, as ratios.

``make bench`` runs all of them; ``python -m bench NAME`` one. Every row runs in a process of its own, against the real
Prometheus that ``scripts/fetch_tools.py`` unpacked. CPU times are those the kernel counts for a process, so
a busy machine changes them little; ratios of two of them even less.
"""

ROWS = {
    "folding": "folding:measure",
    "one-change": "one_change:in_layers",
    "one-change-keys": "one_change:in_keys",
    "compile": "full_compile:repeated",
    "compile-distinct": "full_compile:distinct",
    "burst": "burst:measure",
    "effective": "effective:measure",
    "api": "api:measure",
    "writes": "writes:measure",
    "fleet": "fleet:measure",
    "scale": "scale:measure",
    "processes": "processes:measure",
}
"""The rows by name, with the function that measures each."""

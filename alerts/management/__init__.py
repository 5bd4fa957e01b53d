"""The commands."""

OWN_CHECKS = ("alerts",)
"""The checks that commands begin with: those of the settings. `check` runs the framework's too, on all of the web."""

"""Use cases: the only place where rows meet the outside world."""

"""What the rules of many keys share while a policy is compiled."""

from __future__ import annotations

from alerts.domain.compiled import Pairs
from alerts.domain.promql.matchers import Matcher
from alerts.domain.regions import Region


class Common:
    """What the rules of many keys have in common is one object: regions with their matchers, and labels.

    It lives as long as one compile, so it keeps nothing that no rule needs.
    """

    def __init__(self) -> None:
        self._regions: dict[Region, tuple[Region, tuple[Matcher, ...]]] = {}
        self._labels: dict[tuple[Pairs, Pairs], Pairs] = {}

    def region(self, region: Region) -> tuple[Region, tuple[Matcher, ...]]:
        """The one region equal to this, and its matchers."""
        known = self._regions.get(region)
        if known is None:
            known = self._regions[region] = (region, region.matchers())
        return known

    def labels(self, labels: Pairs, further: Pairs) -> Pairs:
        """Both, sorted; ``further`` says the last word."""
        known = self._labels.get((labels, further))
        if known is None:
            known = self._labels[labels, further] = tuple(sorted(dict(labels + further).items()))
        return known

"""Rules that are written in every odd way there is, to see whether they come back as they went."""

from __future__ import annotations

import dataclasses

from alerts.domain.compiled import CompiledRule
from alerts.domain.layers import Scope


def compiled(name: str, expr: str, **fields: object) -> CompiledRule:
    base = CompiledRule(
        kind="alerting",
        key=name,
        name=name,
        expr=expr,
        for_duration=None,
        keep_firing_for=None,
        interval=None,
        labels=(),
        annotations=(),
        file="global.yml",
        group="g",
        scope=Scope(),
        branches=(),
    )
    return dataclasses.replace(base, **fields)


ODD = [
    compiled("plain", "up == 0"),
    compiled("q\"uo'te \\ back\nline ü € 😀", "up == 0", for_duration="1h30m"),
    compiled("spaces", "sum by(job)(rate(http_requests_total{code=~'5..',job!=\"x\"}[5m]))>0.5   # note"),
    compiled("lines", "up\n  unless\n# a comment\n  on (job)\n  down == bool 1", for_duration="90s"),
    compiled("raw", "label_replace(up, 'a', `$1`, \"job\", '(.*)\\\\.x')", keep_firing_for="1d"),
    compiled("offset", "rate(a[60m] offset 90m) > 1e3 or -b ^ 2 - (c % 3) != 0"),
    compiled("numbers", "up > 1000000 or up > .5 or up > 0x1F or up > Inf or up == NaN"),
    compiled("utf8", 'up{job="ü€😀\\u00e9\\t\\"\\\\"}'),
    compiled("empties", "up", labels=(("empty", ""),), annotations=(("empty", ""),)),
    compiled("label text", "up", labels=(("a", "{{ $labels.job }}-ü"),)),
    compiled("text", "up", annotations=(("d", "x: {{ $value | humanize }}\n- 'y'\n\"z\" \\ # \u2028"),)),
    compiled("truthy", "up", labels=(("yes", "no"), ("null", "~"), ("n", "012"))),
    compiled("times", "up", annotations=(("t", "2001-01-01"), ("y", "12:30:00"))),
    compiled("ms", "up", for_duration="1ms", keep_firing_for="1y"),
    compiled("agg", "histogram_quantile(0.9, sum without(instance) (rate(b_bucket[5m])))>bool 1 and on() vector(1)"),
    compiled("subquery", "max_over_time(deriv(x[5m:])[1h:30s] offset -5m) * on(a) group_left(b) y"),
    compiled("joined", '(up{env="a"} > 1) or (up{env!="a"} > 2)'),
]
PROD = {"file": "group-env.prod.yml", "interval": "30s"}
RECORDINGS = [
    compiled("job:up:sum", "sum by (job) (up)", kind="recording", labels=(("x", "y"),), **PROD),
    compiled("after", "job:up:sum > 1", **PROD),
    compiled("own", "up", file="target-a%2Fb.yml", group="another group: ü"),
]

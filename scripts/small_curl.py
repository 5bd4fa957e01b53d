#!/usr/bin/env python3
"""For machines without curl: the few of its options that the demo's commands use, and nothing else."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, Request, build_opener


def main() -> int:
    parser = argparse.ArgumentParser()
    for flag in "sSfG":
        parser.add_argument(f"-{flag}", action="store_true")
    parser.add_argument("-X", default="GET")
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-d")
    parser.add_argument("-o", type=Path)
    parser.add_argument("-w", default="")
    parser.add_argument("--data-urlencode", action="append", default=[])
    parser.add_argument("url")
    options = parser.parse_args()
    url = options.url
    if options.data_urlencode:
        pairs = [pair.partition("=")[::2] for pair in options.data_urlencode]
        url += f"?{urlencode(pairs, quote_via=quote)}"
    headers = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in options.H)}
    data = options.d.encode() if options.d is not None else None
    request = Request(url, data, headers, method=options.X)  # noqa: S310
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=120) as answer:
            body = answer.read()
    except HTTPError as error:
        print(f"the answer is {error.code}: {error.read(2000).decode(errors='replace')}", file=sys.stderr)
        return 22
    except URLError as error:
        print(f"no answer: {error.reason}", file=sys.stderr)
        return 7
    if options.o is None:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
    sys.stdout.write(options.w.replace("\\n", "\n"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

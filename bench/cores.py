"""What a second core of this machine is worth: processes that share nothing, one and two of them, side by side.

No ratio of two processes to one can be better than this. Where cores are lent out by the thread, or to others
meanwhile, it is well below two, and moves.
"""

from __future__ import annotations

import subprocess
import sys

_COUNT = """
import sys, time
end, rounds, known = time.monotonic() + float(sys.argv[1]), 0, {}
while time.monotonic() < end:
    for number in range(1000):
        known[number % 777] = str(number)
    rounds += 1
print(rounds)
"""


def worth_of_two(seconds: float) -> float:
    """How much two busy processes get done beside one."""
    alone, together = _rounds(1, seconds), _rounds(2, seconds)
    return together / alone


def _rounds(processes: int, seconds: float) -> int:
    command = [sys.executable, "-c", _COUNT, str(seconds)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return sum(int(process.communicate()[0]) for process in started)

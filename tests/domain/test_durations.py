import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.domain.durations import LONGEST_MS, format_duration, parse_duration
from alerts.domain.errors import InvalidPolicy

MINUTE = 60_000
DAY = 24 * 60 * MINUTE


@pytest.mark.parametrize(
    ("text", "milliseconds", "printed"),
    [
        ("0", 0, "0s"),
        ("0s", 0, "0s"),
        ("1ms", 1, "1ms"),
        ("90s", 90_000, "1m30s"),
        ("5m", 5 * MINUTE, "5m"),
        ("1h30m", 90 * MINUTE, "1h30m"),
        ("24h", DAY, "1d"),
        ("7d", 7 * DAY, "1w"),
        ("8d", 8 * DAY, "8d"),
        ("1w1d", 8 * DAY, "8d"),
        ("365d", 365 * DAY, "1y"),
        ("1y1d", 366 * DAY, "366d"),
        ("00005m", 5 * MINUTE, "5m"),
        ("1y2w3d4h5m6s7ms", 365 * DAY + 17 * DAY + 4 * 60 * MINUTE + 5 * MINUTE + 6_007, "382d4h5m6s7ms"),
        ("292y", 292 * 365 * DAY, "292y"),
    ],
)
def test_durations_are_read_and_printed_as_prometheus_does(text: str, milliseconds: int, printed: str) -> None:
    assert parse_duration(text) == milliseconds
    assert format_duration(milliseconds) == printed


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "nothing"),
        ("60", "a bare number"),
        ("1.5m", "a fraction"),
        ("30s1m", "units out of order"),
        ("1m1m", "a unit twice"),
        ("-1m", "a sign"),
        ("+1m", "a plus sign"),
        (" 1m", "a space before"),
        ("1m ", "a space after"),
        ("1m\n", "a line end after"),
        ("1 m", "a space within"),
        ("1M", "a capital"),
        ("m", "a unit alone"),
        ("٣m", "digits that are not ASCII"),
        ("293y", "more than int64 nanoseconds"),
        ("9" * 5000 + "m", "an endless number"),
        (300, "a number"),
        (None, "null"),
    ],
)
def test_what_prometheus_refuses_is_refused(text: object, what: str) -> None:
    with pytest.raises(InvalidPolicy) as refusal:
        parse_duration(text)  # type: ignore[arg-type]
    assert [finding.code for finding in refusal.value.findings] == ["duration_invalid"], what
    assert len(str(refusal.value)) < 300


@given(st.integers(0, LONGEST_MS))
def test_a_printed_duration_reads_back(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds)) == milliseconds

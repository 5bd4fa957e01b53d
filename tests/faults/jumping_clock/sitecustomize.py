"""Found first on PYTHONPATH: this process's wall clock is off by as many seconds as the file JUMPING_CLOCK says."""

import datetime
import os
import time

_file = os.environ["JUMPING_CLOCK"]
_true_time, _true_time_ns, _true = time.time, time.time_ns, datetime.datetime


def _offset() -> float:
    with open(_file) as file:
        return float(file.read())


class _SameAsTrue(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _true)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _true)


class _Jumping(_true, metaclass=_SameAsTrue):
    def __new__(cls, *args: object, **more: object) -> datetime.datetime:
        return _true(*args, **more)

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return _true.now(tz) + datetime.timedelta(seconds=_offset())

    @classmethod
    def utcnow(cls) -> datetime.datetime:
        return _true.utcnow() + datetime.timedelta(seconds=_offset())

    @classmethod
    def today(cls) -> datetime.datetime:
        return _true.now() + datetime.timedelta(seconds=_offset())

    @classmethod
    def fromtimestamp(cls, *args: object, **more: object) -> datetime.datetime:
        return _true.fromtimestamp(*args, **more)

    @classmethod
    def fromisoformat(cls, text: str) -> datetime.datetime:
        return _true.fromisoformat(text)

    @classmethod
    def strptime(cls, *args: object) -> datetime.datetime:
        return _true.strptime(*args)

    @classmethod
    def combine(cls, *args: object, **more: object) -> datetime.datetime:
        return _true.combine(*args, **more)


time.time = lambda: _true_time() + _offset()
time.time_ns = lambda: _true_time_ns() + int(_offset() * 1e9)
datetime.datetime = _Jumping

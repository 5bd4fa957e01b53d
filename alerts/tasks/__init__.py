"""The same actions as Celery tasks, for installations with a broker."""

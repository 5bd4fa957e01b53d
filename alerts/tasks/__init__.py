"""The same actions as Celery tasks, and who sends them, for installations with a broker."""

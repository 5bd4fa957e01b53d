"""Doors without a person: the worker's loop, and the same actions as Celery tasks when there is a broker."""

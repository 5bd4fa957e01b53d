"""A small policy to look at and to play with; ``manage.py load_demo`` loads it."""

"""What every door that serves asks before it opens."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def require_sound_settings() -> None:
    """Serving with a default in the place of a wrong setting would be a guess."""
    problems = settings.ENVIRONMENT_PROBLEMS
    if problems:
        raise ImproperlyConfigured(" ".join(f"({problem.id}) {problem.message} {problem.hint}" for problem in problems))

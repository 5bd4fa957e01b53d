"""The web server's door."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config_server.settings")

from config_server.doors import require_sound_settings

require_sound_settings()
application = get_wsgi_application()

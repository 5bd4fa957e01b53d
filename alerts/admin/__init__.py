"""Django's admin for all models. What is written here goes through the same actions as the API's writes."""

from django.contrib import admin

from alerts.admin import access, delivery, rules, servers, topology  # noqa: F401  (each registers its models)

admin.site.site_header = "config-server"
admin.site.site_title = "config-server"
admin.site.index_title = "Alert policy"

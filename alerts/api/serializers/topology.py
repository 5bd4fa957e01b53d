"""Namespaces, groups, targets."""

from __future__ import annotations

from alerts.api.serializers.fields import Choice, Id, Labels, Many, RowSerializer, StrictSerializer, Text, Whole


class Namespace(RowSerializer):
    """A dimension of classification, carried on series by its label."""

    name = Text(max_length=255)
    priority = Whole(default=0, help_text="Of two namespaces that both say something, the higher wins.")
    label = Text(  # type: ignore[assignment]
        max_length=255, default=None, help_text="The Prometheus label that carries it; default: the name."
    )
    description = Text(max_length=10_000, allow_blank=True, default="")


class Group(RowSerializer):
    """A place in one namespace."""

    name = Text(max_length=255)
    namespace = Id(source="namespace_id", required=False, help_text="Fixed at creation.")
    parent = Id(source="parent_id", allow_null=True, default=None)  # type: ignore[assignment]
    label_value = Text(max_length=255, required=False, help_text="Fixed at creation; default: the name.")
    description = Text(max_length=10_000, allow_blank=True, default="")


class GroupCreate(Group):
    """A place in one namespace, which is named once and for all."""

    namespace = Id(source="namespace_id", help_text="Fixed at creation.")


class Endpoint(StrictSerializer):
    """Where a target is scraped."""

    job = Text(max_length=255)
    port = Whole(min_value=1, max_value=65535)
    path = Text(max_length=1024, required=False, help_text="Default: `/metrics`.")
    scheme = Choice(choices=["http", "https"], required=False, help_text="Default: `http`.")


class Target(RowSerializer):
    """A monitored machine or service."""

    hostname = Text(max_length=255)
    address = Text(max_length=255, allow_blank=True, default="", help_text="Default: the hostname.")
    groups = Many(Id(), default=list, help_text="At most one per namespace.")
    labels = Labels(default=dict, help_text="Own labels in service discovery; not those of a position.")
    status = Choice(choices=["active", "disabled"], default="active")
    endpoints = Many(Endpoint(), max_length=100, default=list)

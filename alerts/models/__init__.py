"""The rows: what people wrote, what was delivered, and who may ask."""

from alerts.models.access import ApiToken, IdempotencyRecord, Role
from alerts.models.delivery import DEFAULT_SERVER, CompiledKey, FileContent, Release
from alerts.models.lookups import Among
from alerts.models.policy_row import PolicyQuerySet, PolicyRow
from alerts.models.policy_state import PolicyState, Turn
from alerts.models.rules import METRIC_LENGTH, AlertRule, AlertTemplate, Definition, RuleKind, RuleMetric
from alerts.models.servers import PrometheusServer, ServerState, Tally
from alerts.models.topology import Group, Membership, Namespace, Target

__all__ = [
    "DEFAULT_SERVER",
    "METRIC_LENGTH",
    "AlertRule",
    "AlertTemplate",
    "Among",
    "ApiToken",
    "CompiledKey",
    "Definition",
    "FileContent",
    "Group",
    "IdempotencyRecord",
    "Membership",
    "Namespace",
    "PolicyQuerySet",
    "PolicyRow",
    "PolicyState",
    "PrometheusServer",
    "Release",
    "Role",
    "RuleKind",
    "RuleMetric",
    "ServerState",
    "Tally",
    "Target",
    "Turn",
]

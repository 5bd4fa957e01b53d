"""What one written object can be judged by alone; every check returns all findings, with pointers into it.

Whether the layers of a key compile together is the compiler's to judge, and the finished rules promtool's.
"""

from .config import CONFIG_FIELDS, check_config
from .layer import check_layer, check_template
from .places import check_group, check_namespace, check_target

__all__ = [
    "CONFIG_FIELDS",
    "check_config",
    "check_group",
    "check_layer",
    "check_namespace",
    "check_target",
    "check_template",
]

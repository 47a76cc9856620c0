"""From a graph of primitives to an ordered list of kernel groups."""

from graphkeras.schedule.groups import Group, Schedule
from graphkeras.schedule.order import schedule

__all__ = ["Group", "Schedule", "schedule"]

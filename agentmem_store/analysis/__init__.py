"""How queries run and what would make them faster: plans, statistics, advice, and a page that shows them."""

from agentmem_store.analysis.advice import Advice, Severity
from agentmem_store.analysis.advise import advise
from agentmem_store.analysis.capture import Captured, capture
from agentmem_store.analysis.catalogue import catalogue, find, of_daily_use
from agentmem_store.analysis.drawing import draw, drawn
from agentmem_store.analysis.explain import explain
from agentmem_store.analysis.findings import Finding, findings
from agentmem_store.analysis.report import report
from agentmem_store.analysis.rules import RULES, Facts, Rule
from agentmem_store.analysis.statistics import Capabilities, QueryLine, Statistics, statistics
from agentmem_store.analysis.tables import tables
from agentmem_store.models.plans import Node, Plan, SlowPlan

__all__ = [
    "RULES",
    "Advice",
    "Capabilities",
    "Captured",
    "Facts",
    "Finding",
    "Node",
    "Plan",
    "QueryLine",
    "Rule",
    "Severity",
    "SlowPlan",
    "Statistics",
    "advise",
    "capture",
    "catalogue",
    "draw",
    "drawn",
    "explain",
    "find",
    "findings",
    "of_daily_use",
    "report",
    "statistics",
    "tables",
]

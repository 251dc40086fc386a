"""How plans and runs of `collect` are printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from openaffect import console
from openaffect.texts import counted

if TYPE_CHECKING:
    from openaffect.collection.collecting import CollectPlan, CollectSummary, ListPlan
    from openaffect.collection.search import SearchPlan


def print_plan(plan: CollectPlan, provider: str) -> None:
    """What the open queries would take, and what a database of AffectNet's size would."""
    console.print_table(
        ("what", "queries", "requests", "results", "days", "US$"),
        [
            _describe("what is left to ask", plan.search),
            _describe(f"{plan.full.hits:,} addresses", plan.full),
        ],
    )
    per_day = "any number" if plan.caps.per_day is None else f"{plan.caps.per_day:,}"
    console.note(
        f"{provider} allows {plan.caps.per_minute:,.0f} requests a minute and {per_day} a day; "
        f"{plan.asked_today:,} were sent today"
    )
    console.note(f"queries that are left: {plan.open_queries:,} of {plan.queries:,}")
    console.note(
        "this is the most that the caps allow: queries find fewer, and several find the same image"
    )


def print_list_plan(plan: ListPlan) -> None:
    """What a list of addresses would take."""
    console.print_facts(
        {
            "addresses": plan.addresses,
            "unusable lines": plan.unusable,
            "hosts": plan.hosts,
            "host with most addresses": plan.busiest or None,
            "hours at its pace": round(plan.hours, 2),
        }
    )


def print_collected(done: CollectSummary, project: Path) -> None:
    """What a run has brought, and what it has not, with the reasons."""
    facts: dict[str, object] = {}
    search = done.search
    if search is not None and search.requests:
        facts["queries asked to their end"] = search.queries
        facts["requests"] = search.requests
        facts["results"] = search.hits
    if search is not None:
        facts["new addresses"] = search.urls
    if done.local is not None:
        facts["new images"] = done.local.stored
        facts["images that were there"] = done.local.known
    if done.downloads is not None:
        facts["new images"] = done.downloads.stored
        facts["images that were there"] = done.downloads.known
        facts["refused"] = done.downloads.refused.total()
        facts["failed"] = done.downloads.failed.total()
    if done.copies is not None:
        facts["copies of other images"] = done.copies.new
    if done.retried:
        facts["tried again"] = done.retried
    console.print_facts(facts)
    ends = [] if done.downloads is None else [("refused", done.downloads.refused)]
    ends += [] if done.downloads is None else [("failed", done.downloads.failed)]
    ends += [] if done.local is None else [("not taken", done.local.rejected)]
    reasons = [
        (end, reason, count) for end, counts in ends for reason, count in counts.most_common(12)
    ]
    if reasons:
        console.print_table(("end", "because", "count"), reasons)
    _note_search(done, project)
    unlicensed = 0 if done.downloads is None else done.downloads.refused["no license"]
    if unlicensed:
        console.note(
            f"without a license: {counted(unlicensed, 'image')}; `--licenses any --because TEXT "
            "--retry refused` takes them"
        )
    console.note(f"next: `openaffect detect {project}`; `openaffect status {project}` shows all")


def _note_search(done: CollectSummary, project: Path) -> None:
    if done.searching_elsewhere:
        console.warn("another process is asking this provider; this one has only downloaded")
    search = done.search
    if search is not None and search.ended is not None:
        console.note(search.ended)
    if search is not None and search.dropped:
        where = "" if search.requests else f"; {project}/rejected.csv names them"
        console.note(f"without a usable address: {counted(search.dropped, 'result')}{where}")
    for query, reason in list(search.refused.items())[:5] if search is not None else ():
        console.warn(f"'{query}': {reason}")
    if search is not None and search.withdrawn:
        console.note(f"forgotten addresses were found again: {search.withdrawn:,}")
    if done.copies is not None and not done.copies.complete:
        console.warn("very many images look alike: copies among these may be missing")
    if done.local is not None and done.local.rejected:
        console.note(f"{project}/rejected.csv names what was not taken")


def _describe(what: str, plan: SearchPlan) -> tuple[object, ...]:
    return (
        what,
        f"{plan.queries:,}",
        f"{plan.requests:,}",
        f"{plan.hits:,}",
        f"{plan.days:,.1f}",
        "by plan" if plan.usd is None else f"{plan.usd:,.2f}",
    )

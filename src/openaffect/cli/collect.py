"""What to search for, and who is asked."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openaffect import console
from openaffect.cli._collect_output import print_collected, print_list_plan, print_plan
from openaffect.cli._database_output import note_missing_legal, print_queries
from openaffect.cli.options import AsJson, Overwrite, ProjectPath, app, read_list, read_pairs
from openaffect.errors import InputError

if TYPE_CHECKING:
    from openaffect.project import Project

Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="Of the provider, such as engine=bing."),
]

_providers = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
_HELP = "Who can be asked for images: what each allows and costs; try one."
app.add_typer(
    _providers,
    name="providers",
    help=_HELP,
    short_help=_HELP,
    rich_help_panel="Build a database",
)


@app.command()
def queries(
    project: ProjectPath,
    languages: Annotated[
        str | None,
        typer.Option(help="Add our own queries in these languages, such as en,de; or all."),
    ] = None,
    words: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="CSV", help="Add the queries of a word list of yours; may be repeated."
        ),
    ] = None,
    add: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="CSV", help="Add these queries: text, language, intended; may be repeated."
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="CSV",
            help="Make this table the queries; those that it lacks are no longer asked.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="CSV", help="Write the queries, to edit them."),
    ] = None,
    overwrite: Overwrite = False,
    json: AsJson = False,
) -> None:
    """See, add and edit what a project searches for.

    Every query is meant to find one expression. Ours are 1,250, in six languages: emotion words × words
    for people. Write them with -o, edit them in a spreadsheet, and give them back with --from.

    Example: openaffect queries faces --languages en,de
    """
    from openaffect.collection.queries import gather_queries, read_queries, write_queries
    from openaffect.project import open_project
    from openaffect.project.queries import QueryChanges, list_queries, set_queries

    added = languages is not None or bool(words) or bool(add)
    if added and table is not None:
        raise InputError(
            "--from makes a table the queries; --languages, --words and --add add to them"
        )
    changes = QueryChanges()
    with open_project(project) as opened:
        if table is not None:
            changes = set_queries(opened, read_queries(table))
        elif added:
            wanted = gather_queries(
                languages=read_list(languages), words=words or (), tables=add or ()
            )
            changes = set_queries(opened, wanted, keep_others=True)
        found = list_queries(opened)
    if output is not None:
        write_queries(found, output, overwrite=overwrite)
    if json:
        console.print_json(
            {
                "total": len(found),
                "changes": dataclasses.asdict(changes),
                "queries": [dataclasses.asdict(query) for query in found],
            }
        )
        return
    if found:
        print_queries(found)
    if table is not None or added:
        console.note(
            f"queries added: {changes.added}, changed: {changes.changed}, "
            f"removed: {changes.removed}, retired: {changes.retired}"
        )
    if not found:
        console.note(
            f"no query yet; `openaffect queries {project} --languages en` adds ours in English"
        )
    if languages is not None:
        console.warn("no native speaker has reviewed these queries; read them before you search")


@_providers.command("list")
def list_providers(
    queries: Annotated[
        int, typer.Option(help="For how many queries to compute the time.", min=1)
    ] = 1_250,
    json: AsJson = False,
) -> None:
    """Show every provider: its keys, what it allows, and what your queries would take; and what reads files.

    Keys are read from the environment; whether one is set is all that is shown of it.

    Example: openaffect providers list
    """
    from openaffect.collection.search import describe_providers, describe_sources

    found, sources = describe_providers(queries), describe_sources()
    if json:
        console.print_json(
            {
                "engines": [dataclasses.asdict(one) for one in found],
                "sources": [dataclasses.asdict(one) for one in sources],
            }
        )
        return
    console.print_table(
        ("provider", "licenses", "key", "per minute", "per day", "per query"),
        [
            (
                one.name,
                "yes" if one.gives_licenses else "no",
                _describe_keys(one.keys),
                f"{one.caps.per_minute:,.0f}",
                "any" if one.caps.per_day is None else f"{one.caps.per_day:,}",
                f"{one.caps.per_query:,}",
            )
            for one in found
        ],
    )
    console.say("")
    console.print_table(
        (f"{queries:,} queries", "requests", "results", "days", "US$"),
        [
            (
                one.name,
                f"{one.plan.requests:,}",
                f"{one.plan.hits:,}",
                f"{one.plan.days:,.1f}",
                "by plan" if one.plan.usd is None else f"{one.plan.usd:,.2f}",
            )
            for one in found
        ],
    )
    console.say("")
    console.print_table(("source", "reads"), [(one.name, one.reads) for one in sources])
    console.note("requests, results and days are the most that the caps allow; fewer are found")


@_providers.command("try")
def try_provider(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A provider.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to search for.")] = (
        "happy person"
    ),
    contact: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="A mail address or page by which the provider can reach you."
        ),
    ] = None,
    language: Annotated[str, typer.Option(help="Of the text.")] = "en",
    any_license: Annotated[
        bool, typer.Option("--any-license", help="Images of every license, not only of open ones.")
    ] = False,
    option: Options = None,
    json: AsJson = False,
) -> None:
    """Send one live query to a provider, and show what it finds; nothing is kept.

    Example: openaffect providers try openverse --contact lab@example.org
    """
    from openaffect.collection.search import try_search
    from openaffect.project.queries import Query

    if contact is None:
        raise InputError("a provider is asked only with --contact: a mail address or page of yours")
    found = try_search(
        name,
        Query(text, language),
        contact=contact,
        options=read_pairs(option),
        any_license=any_license,
    )
    if json:
        facts: dict[str, Any] = {
            "hits": [dataclasses.asdict(hit) for hit in found.hits],
            "dropped": found.dropped,
            "more": found.next is not None,
        }
        console.print_json(facts)
        return
    if found.hits:
        console.print_table(
            ("rank", "license", "title", "url"),
            [
                (hit.rank, hit.license or hit.rights or "–", (hit.title or "–")[:60], hit.url)
                for hit in found.hits
            ],
        )
    more = "there are more" if found.next is not None else "there are no more"
    console.note(f"results: {len(found.hits)}, without a usable address: {found.dropped}; {more}")


def _describe_keys(keys: dict[str, bool]) -> str:
    """Which environment variables are set."""
    if not keys:
        return "none needed"
    return ", ".join(f"{name} {'(set)' if there else '(not set)'}" for name, there in keys.items())


@app.command()
def collect(
    project: ProjectPath,
    provider: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Who is asked, or folder, urls or archive; none to download what is waiting.",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="What folder, urls or archive reads."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="End the search after so many new addresses; download so many.", min=1),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say how long it takes and what it costs.")
    ] = False,
    licenses: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="open (the default on the web), any (with --because), or ids such as CC0-1.0,CC-BY.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="Pass over the opt-outs of this host (with --because); may be repeated.",
        ),
    ] = None,
    because: Annotated[
        str, typer.Option(metavar="TEXT", help="The reason; it is recorded in the project.")
    ] = "",
    retry: Annotated[
        list[str] | None,
        typer.Option(metavar="END", help="Try addresses again: failed or refused."),
    ] = None,
    option: Options = None,
    json: AsJson = False,
) -> None:
    """Collect images: ask a provider, download what it finds, and keep what is an image.

    The queries are those of `openaffect queries`. Servers see the contact of project.toml; robots.txt and
    other opt-outs are obeyed. A run that was interrupted or killed is given again: everything that was
    done is kept. Ctrl-C ends after what is being downloaded, a second one at once.

    Example: openaffect collect faces --provider openverse --limit 5000
    """
    from openaffect.collection.collecting import collect_images
    from openaffect.project import open_project

    with open_project(project) as opened:
        note_missing_legal(opened.settings.legal, project, "settle it before you collect")
        if plan:
            _print_plan(opened, provider, source, limit, read_pairs(option), licenses, json=json)
            return
        with (
            console.resumable(f"`openaffect collect {project} …` goes on"),
            console.show_progress() as on_progress,
        ):
            done = collect_images(
                opened,
                provider,
                source=source,
                limit=limit,
                options=read_pairs(option),
                licenses=licenses,
                allow_hosts=allow_host or (),
                because=because,
                retry=retry or (),
                on_progress=on_progress,
            )
    if json:
        console.print_json(done.describe())
    else:
        print_collected(done, project)


def _print_plan(
    project: Project,
    provider: str | None,
    source: Path | None,
    limit: int | None,
    options: dict[str, str],
    licenses: str | None,
    *,
    json: bool,
) -> None:
    from openaffect.collection.collecting import plan_collection, plan_list

    if provider is None:
        raise InputError("--plan needs --provider")
    if source is not None:
        listed = plan_list(project, provider, source)
        if json:
            console.print_json(dataclasses.asdict(listed))
        else:
            print_list_plan(listed)
        return
    found = plan_collection(project, provider, limit=limit, options=options, licenses=licenses)
    if json:
        console.print_json(dataclasses.asdict(found))
    else:
        print_plan(found, provider)

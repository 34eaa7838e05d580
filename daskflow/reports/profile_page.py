"""The profile's page: a table as one HTML file that needs no network, findings first."""

from __future__ import annotations

from pathlib import Path

from bokeh.embed import components
from bokeh.plotting import figure
from markupsafe import Markup

from daskflow.core.journal import write_atomically
from daskflow.data.profile_words import share_of
from daskflow.data.table_profile import Severity, TableProfile
from daskflow.figures import profile as figures
from daskflow.figures import table as table_figures
from daskflow.reports import words
from daskflow.reports.pictures import Picture
from daskflow.reports.profile_cards import HEIGHT, WIDTH, cards
from daskflow.reports.shell import environment, library, script_of, style_of
from daskflow.reports.tables import Table

SHOWN_PARTITIONS, SHOWN_PAIRS, SHOWN_COLUMNS = 200, 20, 1000
OPEN_FINDINGS = 30
"""Findings shown at once; further ones are folded away."""


def write(profile: TableProfile, path: Path) -> None:
    """Write the page of a profile; replaced atomically.

    Raises
    ------
    StorageError
        When it cannot be written.
    """
    write_atomically(Path(path), render(profile).encode())


def render(profile: TableProfile) -> str:
    """Return the page's HTML: styles, scripts and data inside, every name and value escaped."""
    groups = {
        "target": _of_target(profile),
        "drift": _picture(
            "drift",
            "The first partitions against the last",
            "Population stability index of about the first and the last quarter of the rows, less what chance gives; "
            "the dashed lines are 0.1 and 0.25.",
            figures.drift(profile.columns),
        ),
        "missing": _picture(
            "missing_by_stripe",
            "Missing values from the first partition to the last",
            "Depth is the share of rows without a value; nothing is drawn where there is none.",
            figures.missing_by_stripe(profile),
        ),
        "correlations": _of_correlations(profile),
        "partitions": _picture(
            "partition_rows", "Rows of each partition", _partitions_caption(profile), figures.partition_rows(profile)
        ),
    }
    drawn = {picture.key: picture.figure for group in groups.values() for picture in group}
    script, places = components(drawn) if drawn else ("", {})
    made = cards(profile)
    return (
        environment()
        .get_template("profile.html")
        .render(
            profile=profile,
            name=profile.name,
            answer=_answer(profile),
            tiles=_tiles(profile),
            severities=[str(severity) for severity in Severity],
            open_findings=OPEN_FINDINGS,
            keys={card.name: card.key for card in made},
            cards=made[:SHOWN_COLUMNS],
            kinds=sorted({card.kind for card in made}),
            picture_size=(WIDTH, HEIGHT),
            pictures=groups,
            places={key: Markup(place) for key, place in places.items()},
            figure_script=Markup(script),
            library=Markup(library()) if drawn else "",
            style=style_of("profile.css"),
            look=script_of("profile.js"),
            partitions=_partitions(profile),
            pairs=_pairs(profile),
            single_class=_single_class(profile),
            words=words,
        )
    )


def _answer(profile: TableProfile) -> list[str]:
    """The table in a few sentences."""
    where = f" in {words.plural(profile.files, 'file')} ({words.size(profile.source_bytes)})" if profile.files else ""
    found = [
        f"{words.plural(profile.rows, 'row')} of {words.plural(len(profile.columns), 'column')}{where}, read as "
        f"{words.plural(len(profile.partitions), 'partition')}."
    ]
    if profile.sample is not None:
        sample = profile.sample
        found.append(
            f"This is a sample: {words.plural(sample.partitions, 'partition')} of {sample.all_partitions:,}"
            + (f", and {100 * sample.share:.3g} % of their rows" if sample.share < 1 else "")
            + ". Counts are of the sample; rare values, gaps and repeated rows may be missed."
        )
    counts = [(severity, sum(f.severity is severity for f in profile.findings)) for severity in Severity]
    told = [words.plural(count, str(severity)) for severity, count in counts if count]
    found.append(f"Found: {', '.join(told)}." if told else "Nothing remarkable was found.")
    return found


def _tiles(profile: TableProfile) -> list[tuple[str, str, str]]:
    cells = profile.rows * len(profile.columns)
    missing = sum(column.missing for column in profile.columns)
    gappy = sum(column.missing > 0 for column in profile.columns)
    kinds: dict[str, int] = {}
    for column in profile.columns:
        kinds[column.kind] = kinds.get(column.kind, 0) + 1
    tiles = [
        ("rows", f"{profile.rows:,}", "a sample" if profile.sample else "all of them"),
        ("columns", f"{len(profile.columns):,}", ", ".join(f"{count} {kind}" for kind, count in kinds.items())),
        ("missing values", share_of(missing, cells), f"in {words.plural(gappy, 'column')}"),
        ("repeated rows", share_of(profile.duplicates, profile.rows), words.plural(profile.duplicates, "row")),
    ]
    target = profile.target
    if target is not None:
        n_classes = len(target.classes) + bool(target.others)
        basis = words.plural(n_classes, "class", "classes") if target.classes else target.task
        if target.others:
            basis = f"more than {len(target.classes)} classes"
        tiles.append(("target", target.name if len(target.name) <= 20 else f"{target.name[:19]}…", basis))
    return tiles


def _picture(key: str, title: str, caption: str, made: figure | None, min_width: int = 0) -> list[Picture]:
    return [] if made is None else [Picture(key, title, caption, made, min_width)]


def _of_target(profile: TableProfile) -> list[Picture]:
    target = profile.target
    if target is None:
        return []
    found = []
    if target.classes and sum(target.counts):
        made = table_figures.class_counts([str(label) for label in target.classes], target.counts)
        caption = (
            f"{words.plural(len(target.classes), 'class', 'classes')}"
            + (f", and {target.others:,} rows of rarer ones" if target.others else "")
            + f"; the rarest has {words.plural(min(target.counts), 'row')}."
        )
        found.append(Picture("class_counts", f"Rows per class of {target.name}", caption, made))
    caption = (
        "Each column alone: the share of the target's "
        + ("variance" if target.task == "regression" else "uncertainty")
        + " that it explains"
        + ("" if target.task != "binary" else ", or how well it ranks the rows (2 AUC - 1) where that is more")
        + ". Near 1 it may be a leak."
    )
    return found + _picture("power", "What says most about the target", caption, figures.power(profile))


def _of_correlations(profile: TableProfile) -> list[Picture]:
    made = figures.correlations(profile)
    n_columns = len(profile.correlated)
    shown = min(n_columns, figures.MOST_CORRELATED)
    caption = "Pearson's, over the rows that have both values: blue rise together, orange against each other." + (
        f" The {shown} of {n_columns} columns with the strongest." if shown < n_columns else ""
    )
    return _picture("correlations", "All pairs of numbers", caption, made, 240 + 14 * shown)


def _partitions_caption(profile: TableProfile) -> str:
    rows = [partition.rows for partition in profile.partitions]
    return f"{words.plural(len(rows), 'partition')} of {min(rows):,} to {max(rows):,} rows."


def _partitions(profile: TableProfile) -> Table:
    rows = tuple(
        (partition.name, f"{partition.rows:,}", words.size(partition.bytes))
        for partition in profile.partitions[:SHOWN_PARTITIONS]
    )
    return Table(("partition", "rows", "block"), rows, frozenset({1, 2}))


def _pairs(profile: TableProfile) -> Table | None:
    pairs = [pair for pair in profile.pairs(SHOWN_PAIRS) if abs(pair.value) >= 0.3]
    if not pairs:
        return None
    rows = tuple((pair.left, pair.right, f"{pair.value:.4f}", f"{pair.rows:,}") for pair in pairs)
    return Table(("column", "and", "correlation", "rows with both"), rows, frozenset({2, 3}))


def _single_class(profile: TableProfile) -> Table | None:
    if profile.target is None or not profile.target.single_class:
        return None
    rows = tuple((name, str(label)) for name, label in profile.target.single_class[:SHOWN_PARTITIONS])
    return Table(("partition", "the only class"), rows)

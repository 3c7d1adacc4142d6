"""A table of text as a terminal or a log shows it."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from kartoteka.evaluation.report import Table


def print_table(table: Table) -> None:
    """A rich table on a terminal, columns parted by spaces in a pipe or a log."""
    if sys.stdout.isatty():
        shown = RichTable(title=escape(table.title), title_justify="left")
        for i, head in enumerate(table.header):
            shown.add_column(escape(head), justify="right" if i else "left")
        for row in table.rows:
            shown.add_row(*(escape(cell) for cell in row))
        Console().print(shown)
        return
    widths = [max(map(len, column)) for column in zip(table.header, *table.rows, strict=True)]
    typer.echo(f"\n{table.title}")
    for row in [table.header, *table.rows]:
        cells = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        typer.echo("  ".join(cells).rstrip())
    typer.echo("")

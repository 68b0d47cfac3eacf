"""A DataFrame as CSV, Parquet, LaTeX, Markdown or JSON."""

import io
import json
import math
import unicodedata
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd

# Beyond this many rows a LaTeX table has to break across pages.
_LONG = 40

_LATEX_ESCAPES: Final = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "''",
        "[": "{[}",  # after \\ a bracket would be read as its argument
        "]": "{]}",
        "\u2013": "--",
        "\u2014": "---",
        "\u2018": "`",
        "\u2019": "'",
        "\u201c": "``",
        "\u201d": "''",
        "\u2026": r"\ldots{}",
        "\u2212": "$-$",
        "\u00d7": r"$\times$",
        "\u00b1": r"$\pm$",
        "\u2264": r"$\leq$",
        "\u2265": r"$\geq$",
        "\u03b4": r"$\delta$",
        "\u03c1": r"$\rho$",
    }
)


def to_csv(frame: pd.DataFrame) -> bytes:
    """Comma-separated UTF-8 at full precision; lists as JSON, nulls empty."""
    return _plain(frame).to_csv(index=False, lineterminator="\n").encode()


def to_parquet(frame: pd.DataFrame) -> bytes:
    """Parquet (zstd) with the frame's own types, lists as lists."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink, compression="zstd")
    return sink.getvalue()


def to_json(frame: pd.DataFrame) -> bytes:
    """A JSON array of one object a row; what is null, NaN or infinite is null, as JSON has no other word."""
    rows = [{str(k): _json_value(v) for k, v in row.items()} for row in frame.to_dict("records")]
    return (json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def to_markdown(frame: pd.DataFrame) -> bytes:
    """A pipe table, aligned to be read as text too: numbers to 4 significant digits, on the right."""
    cells = _cells(frame, lambda text: text.replace("\\", "\\\\").replace("|", "\\|"))
    numeric = [pd.api.types.is_numeric_dtype(frame[c]) for c in frame.columns]
    widths = [max(4, *map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        [
            text.rjust(w) if right else text.ljust(w)
            for text, w, right in zip(row, widths, numeric, strict=True)
        ]
        for row in cells
    ]
    rule = ["-" * (w - 1) + ":" if right else "-" * w for w, right in zip(widths, numeric, strict=True)]
    return ("\n".join("| " + " | ".join(row) + " |" for row in [lines[0], rule, *lines[1:]]) + "\n").encode()


def to_latex(frame: pd.DataFrame) -> bytes:
    """A booktabs table (longtable beyond 40 rows): numbers to 4 significant digits, all text escaped."""
    head, *body = [" & ".join(row) + r" \\" for row in _cells(frame, escape_latex)]
    columns = "".join("r" if pd.api.types.is_numeric_dtype(frame[c]) else "l" for c in frame.columns)
    long = len(body) > _LONG
    kind = "longtable" if long else "tabular"
    packages = r"\usepackage{booktabs}" + (r" \usepackage{longtable}" if long else "")
    lines = [f"% needs {packages}", rf"\begin{{{kind}}}{{{columns}}}", r"\toprule", head, r"\midrule"]
    lines += [r"\endhead"] if long else []
    lines += [*body, r"\bottomrule", rf"\end{{{kind}}}"]
    return ("\n".join(lines) + "\n").encode()


def escape_latex(text: str) -> str:
    """``text`` so that pdflatex prints it as it is; a character it has not becomes ASCII or U+XXXX."""
    out = []
    for char in " ".join(text.split()):
        if char.translate(_LATEX_ESCAPES) != char:
            out.append(char.translate(_LATEX_ESCAPES))
        elif char.isascii() and char.isprintable():
            out.append(char)
        else:
            plain = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
            printable = plain.isprintable() and plain
            out.append(plain.translate(_LATEX_ESCAPES) if printable else f"U+{ord(char):04X}")
    return "".join(out)


FORMATS: Final[dict[str, Callable[[pd.DataFrame], bytes]]] = {
    "csv": to_csv,
    "parquet": to_parquet,
    "latex": to_latex,
    "markdown": to_markdown,
    "json": to_json,
}
SUFFIXES: Final = {"csv": ".csv", "parquet": ".parquet", "latex": ".tex", "markdown": ".md", "json": ".json"}


def number_text(value: float) -> str:
    """4 significant digits, without the noise of a float: 0.0003, 1e-08, 12500."""
    if isinstance(value, int | np.integer):
        return str(value)
    if value == int(value) and abs(value) < 1e15 if math.isfinite(value) else False:
        return str(int(value))
    return f"{value:.4g}"


def _cells(frame: pd.DataFrame, escape: Callable[[str], str]) -> list[list[str]]:
    columns = [[escape(str(name)), *(_cell(v, escape) for v in frame[name])] for name in frame.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _cell(value: object, escape: Callable[[str], str]) -> str:
    if isinstance(value, list | tuple | np.ndarray):
        return escape(", ".join(str(part) for part in value))
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | float | np.integer | np.floating):
        return escape(number_text(float(value) if isinstance(value, float | np.floating) else int(value)))
    return escape(" ".join(str(value).split()))


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    lists = [c for c in frame.columns if frame[c].dtype == object and frame[c].map(_is_list).any()]
    return frame.assign(
        **{c: frame[c].map(lambda v: json.dumps(_json_value(v)) if _is_list(v) else v) for c in lists}
    )


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple | np.ndarray)


def _json_value(value: Any) -> Any:
    if _is_list(value):
        return [_json_value(part) for part in value]
    if value is None or value is pd.NA:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

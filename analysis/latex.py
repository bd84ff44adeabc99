"""Text as LaTeX prints it."""

import re

# pandas escapes no caption, not the last six signs, and would escape the commands of bold cells too.
_LATEX: dict[str, str | int | None] = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "→": r"$\rightarrow$",
    "Δ": r"$\Delta$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}


def escape_latex(text: str) -> str:
    """Write text so that LaTeX prints it as it is."""
    return re.sub(r"\s+", " ", str(text)).translate(str.maketrans(_LATEX))

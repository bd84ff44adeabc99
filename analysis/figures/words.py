r"""A figure's title and caption beside it: as plain text, and as a ``\caption`` of LaTeX.

As figures have them, words hold formulas in matplotlib's TeX and blanks at which no line is broken.
"""

import re

from analysis.figures.style import NO_BREAK
from analysis.latex import escape_latex

_FORMULA = re.compile(r"(\$[^$]+\$)")
_OPENING_QUOTE = re.compile(r"(?<!\w)'(?=\w)")
_SIGNS = {r"\lambda": "\u03bb", r"\times": "\u00d7"}


def plain_words(title: str, caption: str) -> str:
    """Write title and caption as they are read: a line, and a paragraph of one."""
    return f"{_plain(title)}\n\n{_plain(caption)}\n"


def latex_caption(title: str, caption: str) -> str:
    r"""Write title and caption as one ``\caption``, for ``\input`` below an ``\includegraphics``."""
    return f"\\caption{{\\textbf{{{_latex(title)}.}} {_latex(caption)}}}\n"


def _plain(words: str) -> str:
    return _FORMULA.sub(lambda formula: _plain_formula(formula[0]), words).replace(NO_BREAK, " ")


def _plain_formula(formula: str) -> str:
    for sign, character in _SIGNS.items():
        formula = formula.replace(sign, character)
    return re.sub(r"\\math[a-z]+|[{}$]", "", formula)


def _latex(words: str) -> str:
    parts = (part if _FORMULA.fullmatch(part) else _latex_text(part) for part in _FORMULA.split(words))
    return "".join(parts)


def _latex_text(text: str) -> str:
    # A blank that holds its line is a tilde, which would be escaped.
    return "~".join(escape_latex(_OPENING_QUOTE.sub("`", piece)) for piece in text.split(NO_BREAK))

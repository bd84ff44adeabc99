from analysis.latex import escape_latex


def test_every_sign_of_latex_is_escaped() -> None:
    assert escape_latex(r"a_b&c%d#e{f}~^\<") == (
        r"a\_b\&c\%d\#e\{f\}\textasciitilde{}\textasciicircum{}\textbackslash{}$<$"
    )


def test_a_line_break_is_a_blank() -> None:
    assert escape_latex("a\nb\t_c") == r"a b \_c"

from analysis.figures.words import latex_caption, plain_words

WEIGHT = r"$\lambda_{\mathrm{non}}$"
TITLE = f"Sensitivity to {WEIGHT}: study 'a_1', 3 seeds"
CAPTION = (
    f"Each trial's weight, p\u00a0<\u00a00.05 & 95% from {WEIGHT} = $2\\times10^{{-4}}$. "
    "\u2191\u00a0higher is better."
)


def test_plain_words_are_a_title_and_a_paragraph_without_tex() -> None:
    assert plain_words(TITLE, CAPTION) == (
        "Sensitivity to \u03bb_non: study 'a_1', 3 seeds\n\n"
        "Each trial's weight, p < 0.05 & 95% from \u03bb_non = 2\u00d710^-4. \u2191 higher is better.\n"
    )


def test_a_latex_caption_is_escaped_but_for_its_formulas() -> None:
    assert latex_caption(TITLE, CAPTION) == (
        rf"\caption{{\textbf{{Sensitivity to {WEIGHT}: study `a\_1', 3 seeds.}} Each trial's weight, "
        rf"p~$<$~0.05 \& 95\% from {WEIGHT} = $2\times10^{{-4}}$. $\uparrow$~higher is better.}}"
        "\n"
    )

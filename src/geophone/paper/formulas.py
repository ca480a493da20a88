"""The paper's formulas, in the two languages it is set in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Formula:
    """One formula, twice."""

    typst: str
    latex: str


FORMULAS = {
    "dimensions": Formula(
        'upright("SR") = (sum_i s_i^2) / s_1^2, quad upright("PR") = (sum_i s_i^2)^2 / (sum_i s_i^4), quad '
        'upright("ER") = exp(-sum_i q_i ln q_i)',
        r"\mathrm{SR} = \frac{\sum_i s_i^2}{s_1^2},\quad \mathrm{PR} = \frac{(\sum_i s_i^2)^2}{\sum_i s_i^4},\quad "
        r"\mathrm{ER} = e^{-\sum_i q_i \ln q_i}",
    ),
    "difference": Formula(
        'delta = (m_"after" - m_"before")_"target" - (m_"after" - m_"before")_"control"',
        r"\delta = (m_{\mathrm{after}} - m_{\mathrm{before}})_{\mathrm{target}} - "
        r"(m_{\mathrm{after}} - m_{\mathrm{before}})_{\mathrm{control}}",
    ),
    "selectivity": Formula(
        'upright("selectivity") = (mu_max - mu_"rest") / (mu_max + mu_"rest")',
        r"\mathrm{selectivity} = \frac{\mu_{\max} - \mu_{\mathrm{rest}}}{\mu_{\max} + \mu_{\mathrm{rest}}}",
    ),
}

"""Tables, JSON and HTML pages of a model's Toeplitz layers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "comparison": ["Comparison", "compare"],
        "shipped": ["conditions"],
        "provenance": ["Provenance"],
        "inspecting": ["inspect"],
        "report": ["Report", "save_report_figures"],
        "rows": ["COLUMNS", "COLUMN_NAMES", "Column", "Row"],
    },
)

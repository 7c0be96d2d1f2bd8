"""The pages that open in a browser: the report and the explorer. Figures are drawn in the folder above."""

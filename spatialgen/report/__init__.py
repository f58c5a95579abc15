"""The report: one HTML page that shows what the lake holds, and the same figures as plots."""

"""From prefix tables to the numbers of the report: cells, curves, the choice on validation, controls. Pure: no files, no torch."""

"""The report on the study's files."""

"""A run as a document for people: Markdown in English and Japanese, made from the run folder alone."""

from headscope.report.markdown import render_markdown
from headscope.report.writing import write_report

__all__ = ["render_markdown", "write_report"]

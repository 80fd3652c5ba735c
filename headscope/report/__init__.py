"""A run as a document for people: Markdown in every language of ``words`` and one HTML page, from the folder alone."""

from headscope.report.markdown import render_evidence, render_markdown
from headscope.report.page import render_page
from headscope.report.writing import write_report

__all__ = ["render_evidence", "render_markdown", "render_page", "write_report"]

"""The section on tables says what is declared."""

from docs import tables


def test_the_section_on_tables_is_what_the_script_writes():
    assert tables.PAGE.read_text(encoding="utf-8") == tables.page()

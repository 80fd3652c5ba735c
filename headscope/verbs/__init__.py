"""One public verb a file: measure -> statistics -> result (tables, arrays, and a record of what was done)."""

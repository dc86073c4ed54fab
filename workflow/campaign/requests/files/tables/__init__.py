"""Files that are tables: CSV, TSV and Excel."""

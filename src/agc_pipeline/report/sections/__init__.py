"""Sections of the report: what each shows of a run."""

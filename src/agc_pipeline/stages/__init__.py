"""One thin module per rule: ``python -m agc_pipeline.stages.NAME`` reads files and writes files."""

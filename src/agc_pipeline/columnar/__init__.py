"""The histogram stage: executors, coffea runner, ledger of events, histogram files."""

"""The row engine that all row stages share: ask only what is unanswered, commit, survive.

stage.py     what a stage brings: a batch function, its fingerprint and output schema
engine.py    unanswered rows -> windows -> runner -> commits
runner.py    where windows are computed: in this process (inline)
batcher.py   a window in batches that fit the device, and what becomes of rows that fail
progress.py  the bar, and the status that other shells read
"""

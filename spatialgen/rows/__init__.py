"""The row engine that all row stages share: ask only what is unanswered, commit, survive.

stage.py      what a stage brings: its fingerprint, its output schema, and what answers its rows
source.py     the rows that it is asked about
engine.py     unanswered rows -> windows -> runner -> commits
runner.py     where windows are computed: in this process, batch by batch (Inline)
streaming.py  or by waiting for many rows at once (Streaming)
batcher.py    a window in batches that fit the device, and what becomes of rows that fail
progress.py   the bar, and the status that other shells read
publish.py    tables of what stages keep beside their answers
seed.py       filling a memo from their table
estimate.py   what a run would cost
"""

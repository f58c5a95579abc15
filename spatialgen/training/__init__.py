"""The one training loop: rows of the lake in a reproducible order, resumed by row id.

order        which row comes when, a function of (row_id, seed, epoch) alone
rows         the rows that train, chosen in SQL, read from the Lance tables
loader       batches from a position on, one share per process
task         what a training gives the loop: modules, batches, losses, figures
folder       .lake/train/<fp>: checkpoints, curve, result
live         the curve for DVC while it grows
launch       one process per device
loop         steps on accelerate: precision, micro-batches, schedule, validation, checkpoints
"""

"""The Layout Planner: a causal language model that writes where the things of a caption are.

vocabulary   the tokens of layouts: markers and coordinate bins
grammar      what may come next, so that every text is a layout
planner      LayoutPlanner: plan(caption) -> layout
renames      other names for things, so that any is copied
batches      from rows to tokens
task         its training
scores       how good layouts are
baselines    what it has to beat
evaluate     all figures of a planner
stage        what stage train_planner trains, once per fingerprint
nsr1k        a public benchmark of planners
"""

"""Pictures of held-out captions, painted with and without layouts, and what two judges see in them.

asked      which captions, under which conditions, with which boxes
judges     the annotator and a detector of its own kind: what is where in a picture
verdicts   what was found, against what was asked for
stage      the row stage: paint, look, judge
painted    its answers, read back from lake/generations
distances  KID and FID of what was painted
figures    metrics/evaluate.json
sheets     pictures of all conditions side by side, and the sweeps as plots
"""

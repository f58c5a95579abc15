-- Do the boxes fit their things, on rows whose boxes are known?
-- Mean IoU with the true boxes of annotate.gold, misses counting 0; not measured without gold.
-- kind = value
-- min = 0.85
-- severity = warn
select max(value) as mean_iou
from metrics
where file = 'metrics/annotate' and name = 'truth.mean_iou_misses_0.value';

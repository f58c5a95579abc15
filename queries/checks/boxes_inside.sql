-- Does every box lie in its picture, and have an area?
-- name, bbox: the object; x1 < x2 and y1 < y2, all of them in 0..1.
-- kind = rows
-- tolerated = 0
with box as (
    select row_id, unnest(objects) as o from boxes
)
select row_id, o.name as name, o.bbox as bbox
from box
where not (o.bbox[1] >= 0 and o.bbox[2] >= 0 and o.bbox[3] <= 1 and o.bbox[4] <= 1
           and o.bbox[1] < o.bbox[3] and o.bbox[2] < o.bbox[4]);

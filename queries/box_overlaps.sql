-- Which two names does the annotator give the same box?
-- Two names of one thing, a part for its whole, or a guess. rows: in which both, name and other,
-- have a box; same: of these, where a box of one and a box of the other overlap with an IoU of at
-- least $iou; share: of the rows; example: the row of the highest IoU. Pairs in fewer than $least
-- rows are left out.
-- param iou = 0.5
-- param least = 5
-- param limit = 30
with box as (
    select row_id, unnest(objects) as o from boxes
), thing as (
    select row_id, o.name as name, o.bbox[1] as x1, o.bbox[2] as y1, o.bbox[3] as x2, o.bbox[4] as y2
    from box
), pair as (
    select
        a.row_id as row_id,
        a.name as name,
        b.name as other,
        greatest(least(a.x2, b.x2) - greatest(a.x1, b.x1), 0)
            * greatest(least(a.y2, b.y2) - greatest(a.y1, b.y1), 0) as shared,
        (a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) as areas
    from thing as a join thing as b on a.row_id = b.row_id and a.name < b.name
), best as (
    select row_id, name, other, max(shared / (areas - shared)) as iou
    from pair
    group by row_id, name, other
)
select
    name,
    other,
    count(*) as rows,
    count(*) filter (iou >= $iou) as same,
    round(avg((iou >= $iou)::int), 3) as share,
    arg_max(row_id, iou) as example
from best
group by name, other
having count(*) >= $least and same > 0
order by share desc, rows desc, name, other
limit $limit;

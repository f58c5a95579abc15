-- Where in the picture do the boxes have their centres?
-- x, y: lower edges of a cell of the picture, 0..1 from its top left; boxes: whose centre is in it;
-- share: of all boxes. Every cell is there, with 0 boxes, too.
-- param cells = 16
with box as (
    select unnest(objects).bbox as b from boxes
), cell as (
    select
        least(floor((b[1] + b[3]) / 2 * $cells), $cells - 1) as x,
        least(floor((b[2] + b[4]) / 2 * $cells), $cells - 1) as y,
        count(*) as boxes
    from box
    group by all
), grid as (
    select a.edge as x, b.edge as y
    from range($cells::bigint) as a(edge) cross join range($cells::bigint) as b(edge)
)
select
    round(x / $cells, 4) as x,
    round(y / $cells, 4) as y,
    coalesce(boxes, 0) as boxes,
    round(coalesce(boxes, 0) / nullif(sum(boxes) over (), 0), 4) as share
from grid left join cell using (x, y)
order by y, x;

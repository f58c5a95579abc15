-- Where in the picture do the boxes have their centres?
-- x, y: lower edges of a cell of the picture, 0..1 from its top left; boxes: whose centre is in it;
-- share: of all boxes. Cells without a box are left out.
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
)
select
    round(x / $cells, 4) as x,
    round(y / $cells, 4) as y,
    boxes,
    round(boxes / sum(boxes) over (), 4) as share
from cell
order by y, x;

-- Which things are boxed most, how often are they missed, and how large are they?
-- rows: that ask for the name and get a box; boxes: of it; absent: rows in which the model says
-- that it is not there; absent_share: of the rows that ask for it; side: median, of a square of
-- equal area, as a share of the picture's.
-- param limit = 50
with found as (
    select row_id, unnest(objects) as o from boxes
), by_name as (
    select
        o.name as name,
        count(distinct row_id) as rows,
        count(*) as boxes,
        median(sqrt((o.bbox[3] - o.bbox[1]) * (o.bbox[4] - o.bbox[2]))) as side
    from found group by name
), missing as (
    select name, count(*) as absent from (select unnest(absent) as name from boxes) group by name
)
select
    name,
    coalesce(rows, 0) as rows,
    coalesce(boxes, 0) as boxes,
    coalesce(absent, 0) as absent,
    round(coalesce(absent, 0) / (coalesce(rows, 0) + coalesce(absent, 0)), 3) as absent_share,
    round(side, 3) as side
from by_name full join missing using (name)
order by rows desc, absent desc, name
limit $limit;

-- How large are the boxes, and where do they lie?
-- side: from, of a square of equal area, as a share of the picture's; boxes, share: with that
-- side; x, y: mean centre; at_border: share that touches a border of the picture (a thing cut off,
-- or a region); whole: share that covers more than nine tenths of the picture (often a guess).
with box as (
    select unnest(objects).bbox as b from boxes
), measured as (
    select b, (b[3] - b[1]) * (b[4] - b[2]) as area from box
)
select
    least(floor(sqrt(area) * 10), 9) / 10 as side,
    count(*) as boxes,
    round(count(*) / sum(count(*)) over (), 4) as share,
    round(avg((b[1] + b[3]) / 2), 3) as x,
    round(avg((b[2] + b[4]) / 2), 3) as y,
    round(avg((least(b[1], b[2]) < 0.005 or greatest(b[3], b[4]) > 0.995)::int), 3) as at_border,
    round(avg((area > 0.9)::int), 3) as whole
from measured
group by side
order by side;

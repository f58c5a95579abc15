-- Which rows can be trained on, and why can the others not?
-- One line per class and split, with totals. rows: with a picture; trainable: whose boxes could be
-- read (error is null) and whose stated positions all hold, or could not be tested (spatial_agree
-- is not false); share: of the rows; tested: of the trainable, whose positions hold; no_boxes: of
-- the trainable, without a single box; disagree: not trainable, for a stated position fails;
-- failed: not trainable, for there is no answer (box_problems.sql says why).
with annotated as (
    select
        spatial_type, split, spatial_agree, objects, boxes.error as error,
        boxes.error is null and spatial_agree is not false as fit
    from boxes join captions using (row_id) join splits using (row_id)
)
select
    coalesce(spatial_type, 'all') as spatial_type,
    coalesce(split, 'all') as split,
    count(*) as rows,
    count(*) filter (fit) as trainable,
    round(avg(fit::int), 4) as share,
    count(*) filter (fit and spatial_agree) as tested,
    count(*) filter (fit and len(objects) = 0) as no_boxes,
    count(*) filter (error is null and not spatial_agree) as disagree,
    count(*) filter (error is not null) as failed
from annotated
group by rollup (spatial_type, split)
order by
    spatial_type = 'all', spatial_type,
    case split when 'train' then 1 when 'val' then 2 when 'test' then 3 else 4 end;

-- Which captions is the judge least sure of (label these by hand first)?
-- p_spatial: p_strong + p_weak; ordered by its distance from $threshold.
-- param threshold = 0.5
-- param limit = 20
select
    round(p_strong + p_weak, 3) as p_spatial,
    round(p_strong, 3) as p_strong,
    spatial_type,
    caption,
    row_id
from captions
where spatial_type is not null
order by abs(p_strong + p_weak - $threshold), row_id
limit $limit;

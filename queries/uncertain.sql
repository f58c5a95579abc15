-- Which captions is the judge least sure of (label these by hand first)?
-- p_spatial: p_strong + p_weak; ordered by its distance from $threshold; rows: that have this
-- caption; row_id: the lowest of them.
-- param threshold = 0.5
-- param limit = 20
with judged as (
    select *, abs(p_strong + p_weak - $threshold) as distance
    from captions where spatial_type is not null
), nearest as (  -- so many captions lie at no more distances, and only theirs need be sorted
    select max(distance) as distance
    from (select distinct distance from judged order by distance limit $limit)
)
select
    round(any_value(p_strong + p_weak)::double, 3) as p_spatial,
    round(any_value(p_strong)::double, 3) as p_strong,
    any_value(spatial_type) as spatial_type,
    count(*) as rows,
    caption,
    min(row_id) as row_id
from judged
where distance <= (from nearest)
group by caption
order by min(distance), caption
limit $limit;

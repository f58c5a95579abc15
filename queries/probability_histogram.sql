-- How sure is the judge: how are the probabilities of being spatial distributed?
-- p_spatial: lower end of the bin of p_strong + p_weak; captions: rows in it; share: of all judged
-- ones; bar: captions, relative to the fullest bin. What lies near filter.min_probability would
-- move with it (uncertain.sql shows those rows).
-- param bins = 20
with binned as (
    select
        least(floor((p_strong::double + p_weak) * $bins), $bins - 1)::int as bin,
        count(*) as captions
    from captions
    where spatial_type is not null
    group by bin
)
select
    round(bin / $bins, 3) as p_spatial,
    captions,
    round(captions / sum(captions) over (), 4) as share,
    bar(captions, 0, max(captions) over (), 40) as bar
from binned
order by bin;

-- How are the judged captions shared between the classes, and how sure is that?
-- class: strong, weak, none, or failed (no answer); share: of all judged rows; lo, hi: its 95 %
-- interval (Wilson) if these rows are a random draw of the web; spatial = strong + weak. What the
-- judge gets wrong is in metrics/filter.json, gold.
with counted as (
    select coalesce(spatial_type, 'failed') as class, count(*) as captions from captions group by class
    union all
    select 'spatial', count(*) from captions where spatial_type in ('strong', 'weak')
), shared as (
    select class, captions, n, captions / nullif(n, 0) as p, 1.96 as z
    from counted cross join (select count(*) as n from captions)
)
select
    class,
    captions,
    round(p, 4) as share,
    round((p + z^2 / (2 * n) - z * sqrt(p * (1 - p) / n + z^2 / (4 * n^2))) / (1 + z^2 / n), 4) as lo,
    round((p + z^2 / (2 * n) + z * sqrt(p * (1 - p) / n + z^2 / (4 * n^2))) / (1 + z^2 / n), 4) as hi
from shared
order by class = 'spatial', captions desc, class;

-- Are the shares of the classes about what they were at the last commit?
-- source, class: a count of a manifest, as lake/captions counts.spatial_type.strong; before, now:
-- its share of the rows. More than a fifth of all rows in another class is seldom meant, but where
-- an experiment changes params; so it warns.
-- param moved = 0.2
-- kind = rows
-- tolerated = 0
-- severity = warn
with now as (
    select file, name, value from metrics where file like 'lake/%'
), before as (
    select file, name, value from committed.metrics where file like 'lake/%'
), share as (
    select
        file as source,
        name as class,
        before.value / nullif(before_rows.value, 0) as before,
        now.value / nullif(now_rows.value, 0) as now
    from (select file, name from now union select file, name from before) as every
    left join now using (file, name)
    left join before using (file, name)
    join (select file, value from now where name = 'rows') as now_rows using (file)
    join (select file, value from before where name = 'rows') as before_rows using (file)
    where name like 'counts.%'
)
select source, class, round(coalesce(before, 0), 4) as before, round(coalesce(now, 0), 4) as now
from share
where abs(coalesce(now, 0) - coalesce(before, 0)) > $moved;

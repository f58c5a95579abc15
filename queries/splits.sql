-- What do the splits hold: are validation and test like training?
-- rows: with a picture; share: of all rows; pictures: distinct files; groups: sets of rows linked
-- by a caption or picture, never parted; largest: rows of the largest; strong: share of the rows
-- whose caption is strong (the others are weak); agree: of the rows with a verdict, the share
-- whose stated positions all hold.
with linked as (
    select *, count(*) over (partition by group_id) as group_rows from splits
)
select
    split,
    count(*) as rows,
    round(count(*) / sum(count(*)) over (), 4) as share,
    count(distinct downloads.sha256) as pictures,
    count(distinct group_id) as groups,
    max(group_rows) as largest,
    round(avg((spatial_type = 'strong')::int), 4) as strong,
    round(avg(spatial_agree::int), 4) as agree
from linked
join captions using (row_id)
join downloads using (row_id)
left join boxes using (row_id)
group by split
order by case split when 'train' then 1 when 'val' then 2 else 3 end;

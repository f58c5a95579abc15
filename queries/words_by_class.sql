-- Which position words make a caption strong, weak or none?
-- captions: that hold the word; strong, weak, none: their shares; lift: how much oftener than on
-- average a caption with this word is spatial; example: the surest spatial one.
with held as (
    select
        caption,
        spatial_type,
        p_strong + p_weak as p_spatial,
        unnest(list_filter(
            ['左', '右', '上', '下', '前', '后', '背', '旁', '边', '侧', '间', '里', '内', '中', '外', '围',
             '角', '央', '顶', '底', '对面', '附近'],
            lambda word: contains(caption, word)
        )) as word
    from captions
    where spatial_type is not null
), average as (
    select avg((spatial_type <> 'none')::int) as spatial from captions where spatial_type is not null
)
select
    word,
    count(*) as captions,
    round(avg((spatial_type = 'strong')::int), 3) as strong,
    round(avg((spatial_type = 'weak')::int), 3) as weak,
    round(avg((spatial_type = 'none')::int), 3) as none,
    round(avg((spatial_type <> 'none')::int) / nullif(any_value(average.spatial), 0), 2) as lift,
    arg_max(caption, p_spatial) filter (spatial_type <> 'none') as example
from held cross join average
group by word
order by captions desc, word;

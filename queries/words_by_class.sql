-- Which position words make a caption strong, weak or none?
-- captions: that hold the word; strong, weak, none: their shares; lift: how much oftener than on
-- average a caption with this word is spatial; example: the surest spatial one.
with found as (  -- one pass over the captions; those with the same words, in order, are alike
    select
        regexp_extract_all(
            caption, '左|右|上|下|前|后|背|旁|边|侧|间|里|内|中|外|围|角|央|顶|底|对面|附近'
        ) as words,
        spatial_type,
        count(*) as captions,
        max(p_strong + p_weak) as p_spatial,
        arg_max(caption, p_strong + p_weak) filter (spatial_type <> 'none') as example
    from captions
    where spatial_type is not null
    group by words, spatial_type
), held as (
    select * exclude (words), unnest(list_distinct(words)) as word from found
), average as (
    select sum(captions) filter (spatial_type <> 'none') / sum(captions) as spatial from found
)
select
    word,
    sum(held.captions)::bigint as captions,
    round(coalesce(sum(held.captions) filter (spatial_type = 'strong'), 0) / sum(held.captions), 3)
        as strong,
    round(coalesce(sum(held.captions) filter (spatial_type = 'weak'), 0) / sum(held.captions), 3)
        as weak,
    round(coalesce(sum(held.captions) filter (spatial_type = 'none'), 0) / sum(held.captions), 3)
        as none,
    round(
        coalesce(sum(held.captions) filter (spatial_type <> 'none'), 0) / sum(held.captions)
            / nullif(any_value(spatial), 0),
        2
    ) as lift,
    arg_max(example, p_spatial) filter (spatial_type <> 'none') as example
from held cross join average
group by word
order by captions desc, word;

-- Which position words do the candidates hold, and how many captions hold each?
-- relation: what the word says when it is spatial, as in boxes.relations where that has it;
-- captions: that hold the word at least once; share: of all candidates (a caption may hold several
-- words); example: the caption of lowest row_id.
with word(relation, word) as (
    values
        ('left', '左'), ('right', '右'), ('above', '上'), ('below', '下'), ('front', '前'),
        ('behind', '后'), ('behind', '背'), ('beside', '旁'), ('beside', '边'), ('beside', '侧'),
        ('between', '间'), ('in', '里'), ('in', '内'), ('in', '中'), ('outside', '外'),
        ('around', '围'), ('corner', '角'), ('center', '央'), ('top', '顶'), ('bottom', '底'),
        ('opposite', '对面'), ('beside', '附近')
), found as (  -- one pass over the captions; those with the same words, in order, are alike
    select
        regexp_extract_all(
            caption, '左|右|上|下|前|后|背|旁|边|侧|间|里|内|中|外|围|角|央|顶|底|对面|附近'
        ) as words,
        count(*) as captions,
        min(row_id) as row_id,
        arg_min(caption, row_id) as example
    from candidates
    group by words
), held as (
    select captions, row_id, example, unnest(list_distinct(words)) as word from found
), counted as (
    select word, sum(captions)::bigint as captions, arg_min(example, row_id) as example
    from held group by word
), total as (
    select sum(captions) as captions from found
)
select
    relation,
    word,
    coalesce(counted.captions, 0) as captions,
    round(coalesce(counted.captions, 0) / total.captions, 4) as share,
    counted.example as example
from word left join counted using (word) cross join total
order by captions desc, word;

-- Which position words do the candidates hold, and how many captions hold each?
-- relation: what the word says when it is spatial; captions: that hold the word at least once;
-- share: of all candidates (a caption may hold several words); example: the caption of lowest row_id.
with word(relation, word) as (
    values
        ('left', '左'), ('right', '右'), ('above', '上'), ('below', '下'), ('front', '前'),
        ('behind', '后'), ('behind', '背'), ('beside', '旁'), ('beside', '边'), ('beside', '侧'),
        ('between', '间'), ('inside', '里'), ('inside', '内'), ('inside', '中'), ('outside', '外'),
        ('around', '围'), ('corner', '角'), ('centre', '央'), ('top', '顶'), ('bottom', '底'),
        ('opposite', '对面'), ('near', '附近')
), total as (
    select count(*) as captions from candidates
)
select
    relation,
    word,
    count(row_id) as captions,
    round(count(row_id) / max(total.captions), 4) as share,
    arg_min(caption, row_id) as example
from word cross join total left join candidates on contains(caption, word)
group by relation, word
order by captions desc, word;

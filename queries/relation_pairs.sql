-- Which positions of which things are stated most, and are they also stated the other way round?
-- relation: of subject to object, as the caption states it (object empty: a place in the picture);
-- rows: whose caption states it; exchanged: rows that state it with the two things exchanged
-- (where these are few, the names alone tell who is where); tested: of the rows, where all its
-- things have boxes; holds: share of the tested; example: the row of lowest row_id. -p
-- relation=left: only these.
-- param relation = null
-- param limit = 30
with stated as (
    select row_id, unnest(relations) as r from boxes
), triple as (
    select
        r.relation as relation,
        r.subject as subject,
        array_to_string(r.objects, '、') as object,
        count(distinct row_id) as rows,
        count(distinct row_id) filter (r.agrees is not null) as tested,
        avg(r.agrees::int) as holds,
        min(row_id) as example
    from stated
    where $relation is null or r.relation = $relation
    group by all
)
select
    triple.relation,
    triple.subject,
    triple.object,
    triple.rows,
    coalesce(other.rows, 0) as exchanged,
    triple.tested,
    round(triple.holds, 3) as holds,
    triple.example
from triple left join triple as other
    on other.relation = triple.relation
    and other.subject = triple.object and other.object = triple.subject
order by triple.rows desc, triple.relation, triple.subject, triple.object
limit $limit;

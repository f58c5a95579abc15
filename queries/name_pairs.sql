-- Which things are boxed together, and how much oftener than chance would have it?
-- name, other: the commoner one first; rows: in which both have a box; lift: these rows over those
-- expected if things were independent, rows of name * rows of other / rows with boxes (1: chance);
-- agree: of the rows with a verdict, the share whose stated positions all hold; example: the row
-- of lowest row_id. Pairs in fewer than $least rows are left out.
-- param least = 5
-- param limit = 30
with held as (
    select row_id, spatial_agree, unnest(list_distinct([o.name for o in objects])) as name
    from boxes
), named as (
    select name, count(*) as rows from held group by name
), thing as (
    select row_id, spatial_agree, name, rows from held join named using (name)
), pair as (
    select
        a.name as name,
        b.name as other,
        any_value(a.rows) * any_value(b.rows) as product,
        count(*) as rows,
        avg(a.spatial_agree::int) as agree,
        min(a.row_id) as example
    from thing as a join thing as b
        on a.row_id = b.row_id and (a.rows > b.rows or (a.rows = b.rows and a.name < b.name))
    group by a.name, b.name
    having count(*) >= $least
)
select
    name,
    other,
    pair.rows,
    round(pair.rows * (select count(distinct row_id) from held) / product, 2) as lift,
    round(agree, 3) as agree,
    example
from pair
order by lift desc, pair.rows desc, name, other
limit $limit;

-- How many boxes do the annotated rows have?
-- n_boxes: per row (0 also where there is no answer: box_problems.sql); rows: with so many; share:
-- of all rows; agree: of these rows with a verdict, the share whose stated positions all hold;
-- example: the row of lowest row_id (spatialgen show ROW_ID).
select
    len(objects) as n_boxes,
    count(*) as rows,
    round(count(*) / sum(count(*)) over (), 4) as share,
    round(avg(spatial_agree::int), 3) as agree,
    min(row_id) as example
from boxes
group by n_boxes
order by n_boxes;

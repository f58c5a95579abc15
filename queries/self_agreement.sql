-- How well do two looks at a picture agree (annotate.passes=2)?
-- at_least: self_iou, the lowest IoU of a row's boxes with those of the second look; rows: whose
-- self_iou is at least that (0: all rows with two looks); share: of these; agree: of the rows with
-- a verdict, the share whose stated positions hold.
with looked as (
    select self_iou, spatial_agree from boxes where self_iou is not null
), step as (
    select unnest([0.0, 0.3, 0.5, 0.7, 0.8, 0.9]) as at_least
)
select
    at_least::double as at_least,
    count(self_iou) as rows,
    round(count(self_iou) / nullif((select count(*) from looked), 0), 4) as share,
    round(avg(spatial_agree::int), 4) as agree
from step left join looked on self_iou >= at_least
group by step.at_least
order by step.at_least;

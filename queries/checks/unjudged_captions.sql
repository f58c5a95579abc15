-- Has nearly every caption a judgement?
-- Share of the captions that the judge gave no answer about: queries/failures.sql.
-- kind = value
-- max = 0.01
select avg((error is not null)::int) as unjudged_share from captions;

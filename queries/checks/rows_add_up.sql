-- Do the tables account for every record, and for the same rows?
-- what: two numbers that should be equal; expected, found: the two.
-- param download_take = ["strong", "weak"]
-- kind = rows
-- tolerated = 0
with counted as (
    select
        max(value) filter (name = 'records') as records,
        max(value) filter (name = 'rejected') as rejected,
        max(value) filter (name = 'unmatched') as unmatched,
        max(value) filter (name = 'duplicates') as duplicates,
        max(value) filter (name = 'candidates') as candidates
    from metrics where file = 'metrics/candidates'
), taken as (
    select row_id from captions where list_contains($download_take, spatial_type)
), pictured as (
    select row_id, sha256 from downloads where status = 'ok'
), equation(what, expected, found) as (
    select 'records = rejected + unmatched + duplicates + candidates',
           records, rejected + unmatched + duplicates + candidates from counted
    union all
    select 'rejected records = rows of rejects', rejected, (select count(*) from rejects) from counted
    union all
    select 'candidates = rows of candidates', candidates, (select count(*) from candidates) from counted
    union all
    select 'captions that are no candidates', 0, count(*)
    from captions anti join candidates using (row_id)
    union all
    select 'spatial captions that nobody asked for', 0, count(*) from taken anti join downloads using (row_id)
    union all
    select 'downloads of other captions', 0, count(*) from downloads anti join taken using (row_id)
    union all
    select 'downloads without their picture', 0, count(*) from pictured anti join images using (sha256)
    union all
    select 'pictures of no row', 0, count(*) from images anti join pictured using (sha256)
    union all
    select 'rows with a picture that are not annotated', 0, count(*) from pictured anti join boxes using (row_id)
    union all
    select 'annotated rows without a picture', 0, count(*) from boxes anti join pictured using (row_id, sha256)
    union all
    select 'rows with a picture that are in no split', 0, count(*) from pictured anti join splits using (row_id)
    union all
    select 'rows of splits without a picture', 0, count(*) from splits anti join pictured using (row_id)
)
select * from equation where expected <> found;

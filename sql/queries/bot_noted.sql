-- Notes what was done about the changes $1: $2, a JSON object, and when. The last twenty are kept.
UPDATE :"schema".stock_sync_changes c
SET facts = c.facts || jsonb_build_object('acts', (
    SELECT jsonb_agg(a.act ORDER BY a.place)
    FROM (SELECT e.act, e.place, max(e.place) OVER () AS last
          FROM jsonb_array_elements(
              coalesce(c.facts -> 'acts', '[]')
              || jsonb_build_array($2::jsonb || jsonb_build_object('at', clock_timestamp()))
          ) WITH ORDINALITY e (act, place)) a
    WHERE a.place > a.last - 20))
WHERE c.id = ANY ($1::bigint[])
RETURNING c.id

-- Telegram asks for a pause of $1 seconds: nobody sends before.
UPDATE :"schema".stock_sync_telegram
SET flood_until = greatest(flood_until, clock_timestamp() + $1::double precision * interval '1 second')

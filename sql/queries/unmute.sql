-- Messages from now on; gives when the mute ended, if there was one.
UPDATE :"schema".stock_sync_telegram SET muted_until = clock_timestamp()
WHERE muted_until > clock_timestamp()
RETURNING muted_until

-- The daemon $1 asks Telegram for updates no more.
UPDATE :"schema".stock_sync_telegram SET poller = NULL, poller_until = NULL WHERE poller = $1

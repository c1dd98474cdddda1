-- Says $2 on the channel $1: whoever listens there hears it, or is deaf.
SELECT pg_notify($1, $2)

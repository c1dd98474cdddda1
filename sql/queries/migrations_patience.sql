-- From now on this transaction waits 3 seconds for a lock of a table. While it waits, whoever inserts waits
-- behind it: a transaction of the order system that is open for minutes shall not stop all others.
SET LOCAL lock_timeout = '3s'

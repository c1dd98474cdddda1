-- A daemon that freezes in its turn would hold up all others: Postgres ends its transaction.
SET LOCAL idle_in_transaction_session_timeout = '5s'

"""P6: what the outbox costs the order system, which inserts into it."""

import re
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from stocksync.demo.binaries import find_binaries
from tests.bench.contestants import TOKEN_ID
from tests.bench.figures import Goal, Result
from tests.bench.postgres import connected
from tests.bench.processes import machine_cpu_seconds
from tests.bench.world import NotVerified, World

SECONDS, QUICK_SECONDS = 3, 1
WHOLE, BARE = "all installed", "primary key and CHECKs alone"
TABLES = {WHOLE: "pending_stock_operations", BARE: "bare"}
# A machine that gets slower by the minute slows both of them.
TURNS = (WHOLE, BARE, BARE, WHOLE)
MAKE_BARE = (
    "CREATE TABLE bare (LIKE pending_stock_operations"
    " INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING IDENTITY, PRIMARY KEY (id))"
)


async def measure(world: World) -> Result:
    """P6: one row a transaction, with 1 and with 32 clients; no daemon runs, none sleeps."""
    result = Result(name="P6", title="the order system's INSERTs", unit="rows/s")
    pgbench = find_binaries().bindir / "pgbench"
    if not pgbench.is_file():
        result.notes.append("not measured: there is no pgbench beside this Postgres")
        return result
    with world.postgres.database() as dsn:
        async with connected(dsn) as connection:
            await connection.execute(MAKE_BARE)
            # What measures before this one wrote is not its own to bring to the disk.
            await connection.execute("CHECKPOINT")
            for _ in range(world.rounds):
                for clients in (1, 32):
                    for name in TURNS:
                        table = TABLES[name]
                        cpu_before = machine_cpu_seconds()
                        rate = _inserted(pgbench, dsn, table, clients, world)
                        cpu_seconds = machine_cpu_seconds() - cpu_before
                        inserted = await connection.fetchval(f"SELECT count(*) FROM {table}")
                        if not inserted:
                            raise NotVerified(f"nothing was inserted into {table}")
                        await connection.execute(f"TRUNCATE {table} CASCADE")
                        # Of the server and of the clients: steadier than the rate.
                        cpu_us = cpu_seconds / inserted * 1e6
                        result.add(f"{name}, {clients} clients", rate, **{"CPU µs a row": cpu_us})
                        world.say(f"P6 {name}, {clients} clients: {rate:,.0f} rows/s")
    for clients, bound in ((32, 0.8), (1, 0.0)):
        ratio = result.ratio(f"{WHOLE}, {clients} clients", f"{BARE}, {clients} clients")
        if not bound:
            result.notes.append(f"share kept, {clients} clients: {ratio:.3g}")
            continue
        result.goals.append(
            Goal(what=f"share kept, {clients} clients", value=ratio, at_least=bound)
        )
    return result


def _inserted(pgbench: Path, dsn: str, table: str, clients: int, world: World) -> float:
    parts = urlsplit(dsn)
    where = parse_qs(parts.query)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(
            "\\set n random(1, 1000000000)\n"
            f"INSERT INTO {table} (token_id, order_id, sku, quantity)"
            f" VALUES ('{TOKEN_ID}', 'order-' || :n, 'A-1', 1);\n"
        )
        script.flush()
        seconds = QUICK_SECONDS if world.is_quick else SECONDS
        said = subprocess.run(
            [
                *(str(pgbench), "-n", "-f", script.name, "-M", "prepared"),
                *("-c", str(clients), "-j", "2", "-T", str(seconds)),
                *("-h", where["host"][0], "-p", where["port"][0]),
                *("-U", parts.username or "", parts.path.lstrip("/")),
            ],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout
    found = re.search(r"^tps = ([\d.]+)", said, re.MULTILINE)
    assert found, said
    return float(found[1])

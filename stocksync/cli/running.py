"""The verb `run`: the daemon."""

from argparse import Namespace

from stocksync import settings, telemetry
from stocksync.daemon.daemon import Daemon


async def run(arguments: Namespace) -> None:
    """Run the daemon until a signal ends it."""
    loaded = settings.load(*Daemon.GROUPS, settings.Log, env_file=arguments.env_file)
    log = loaded[settings.Log]
    telemetry.configure(log.log_level, log.log_format)
    daemon = Daemon(loaded)
    await daemon.run(is_migrating=arguments.migrate)

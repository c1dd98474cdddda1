"""The verb `demo`: everything at work on this machine."""

from argparse import Namespace

from stocksync.model import StocksyncError


def demonstrate(arguments: Namespace) -> int:
    """Play the demo, which has loops of its own; gives its exit code."""
    try:
        from stocksync.demo.run import run_demo  # noqa: PLC0415 - it needs the extra [demo]

        return run_demo(
            postgres=arguments.postgres, orders=arguments.orders, as_json=arguments.json
        )
    except ModuleNotFoundError as error:
        package = (error.name or "stocksync").partition(".")[0]
        if package == "stocksync":
            raise
        raise StocksyncError(
            f"the demo needs {package}, which is not installed: pip install 'stocksync[demo]'"
        ) from error

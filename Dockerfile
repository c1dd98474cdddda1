# stocksync's daemon: docker run --read-only -e STOCK_SYNC_DATABASE_URL=… -e … stocksync
# The settings come from the environment; `docker run … stocksync migrate` makes the tables.

FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md ./
COPY sql sql
COPY stocksync stocksync
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel . \
    && python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir --compile /wheel/*.whl

FROM python:3.12-slim
LABEL org.opencontainers.image.title="stocksync" \
      org.opencontainers.image.description="Transactional outbox for the flag 'stock deducted'"
# The base brings pip along: the image that runs installs nothing.
RUN pip uninstall --yes --root-user-action=ignore pip
COPY --from=build /opt/venv /opt/venv
# Nothing is written to the file system: it may be read-only.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /
# A number, so that an orchestrator can see that it is not root.
USER 65532:65532
STOPSIGNAL SIGTERM
# That the process lives and comes round to answering; an outage of database or service is nothing that
# a restart mends (README, "HTTP": /readyz says more).
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["python", "-m", "stocksync.cli.health"]
ENTRYPOINT ["stocksync"]
CMD ["run"]

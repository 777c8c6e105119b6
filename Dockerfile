# The gateway, as a user without rights, in the folder /site, on port 8000. docs/how-to/deployment.md shows how to run it.

FROM python:3.12-slim AS build
COPY . /src
RUN ["python", "-m", "venv", "--without-pip", "/opt/gateway"]
RUN ["pip", "--python", "/opt/gateway", "install", "--no-cache-dir", "/src[otel,postgres]"]

FROM python:3.12-slim
COPY --from=build /opt/gateway /opt/gateway
# A new volume that is mounted at /site gets this owner.
RUN ["useradd", "--uid", "10001", "--user-group", "--home-dir", "/site", "--no-create-home", "gateway"]
RUN ["install", "--directory", "--owner=10001", "--group=10001", "/site"]
# The environment wins over a config.toml in /site, so the health check knows the port.
ENV PATH="/opt/gateway/bin:$PATH" \
    PYTHONUNBUFFERED="1" \
    GATEWAY__SERVER__HOST="0.0.0.0" \
    GATEWAY__SERVER__PORT="8000"
WORKDIR /site
USER 10001:10001
EXPOSE 8000
# Docker asks to decide about restarts, and no restart repairs a database: /-/live, not /-/ready.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os; \
connection = http.client.HTTPConnection('127.0.0.1', int(os.environ['GATEWAY__SERVER__PORT']), 3); \
connection.request('GET', '/-/live'); \
raise SystemExit(connection.getresponse().status != 200)"]
# Without a shell in between, the supervisor is process 1 and gets the signals.
STOPSIGNAL SIGTERM
ENTRYPOINT ["gateway"]
CMD ["serve"]

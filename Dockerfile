# The console proxy as an image: the first stage builds, the second one runs, and holds no build tools.
#   docker build -t consoleproxy .
#   docker run --rm --network host consoleproxy      then open http://127.0.0.1:6081
# The demo's start page opens every console, so it listens on loopback alone: hence the host's network.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build

# Debian stable moves its versions within one release only for fixes: pinning them would keep the fixes out.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends npm \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY requirements.txt requirements-build.txt ./
RUN python3 -m venv /opt/consoleproxy \
    && /opt/consoleproxy/bin/pip install --no-cache-dir --require-hashes -r requirements.txt \
    && /opt/consoleproxy/bin/pip install --no-cache-dir --require-hashes -r requirements-build.txt --target /build

COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY novnc_static novnc_static
COPY consoleproxy consoleproxy
RUN PYTHONPATH=/build /opt/consoleproxy/bin/pip install --no-cache-dir --no-build-isolation --no-deps .

FROM ${BASE}

COPY --from=build /opt/consoleproxy /opt/consoleproxy
ENV PATH=/opt/consoleproxy/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

USER 10001:10001
WORKDIR /tmp
# The operators' port, 9180, stays on loopback until --ops-listen says otherwise.

HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9180/readyz', timeout=4)"]

STOPSIGNAL SIGTERM
ENTRYPOINT ["consoleproxy"]
CMD ["demo"]

# One image for every command: the server (default), the load client, the chat client.
#
#   docker build -t scalechat .
#   docker run --rm -p 127.0.0.1:8080:8080 scalechat
#   docker run --rm --network host --user "$(id -u):$(id -g)" -v ./runs:/runs scalechat load --clients 200
#
# Any image with Python >= 3.11, its venv module and pip can be the base: --build-arg BASE=python:3.13-slim
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
# The environment has no pip of its own: an installer is a build tool and stays in this stage.
RUN python3 -m venv --without-pip /opt/scalechat
# hdrhistogram comes ready-made for x86-64 alone; elsewhere it is compiled here.
RUN [ "$(uname -m)" = x86_64 ] \
    || { apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*; }
# Dependencies before sources: a changed line of ours reuses this layer. A package index of your own comes in as a
# secret and leaves no trace in any layer: docker build --secret id=pip.conf,src=$HOME/.config/pip/pip.conf
COPY pyproject.toml ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=cache,target=/root/.cache/pip \
    python3 -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; print(*p["dependencies"], *p["optional-dependencies"]["redis"], sep="\n")' \
      > requirements.txt \
    && python3 -m pip --python /opt/scalechat/bin/python install --requirement requirements.txt
COPY LICENSE README.md ./
COPY scalechat ./scalechat
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=cache,target=/root/.cache/pip \
    python3 -m pip wheel --no-deps --wheel-dir /wheels . \
    && python3 -m pip --python /opt/scalechat/bin/python install --no-deps /wheels/*.whl

FROM ${BASE}
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Scale-Chat" \
      org.opencontainers.image.description="A chat server meant to be grown until it breaks, and its load client" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# A fixed number, so that an orchestrator can see without a passwd file that this is not root.
RUN groupadd --gid 10001 scalechat \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin scalechat \
    && install --directory --owner 10001 --group 10001 /runs
COPY --from=build /opt/scalechat /opt/scalechat
# OPENBLAS: numpy would start a thread for each core of the host, whatever the container may use.
ENV PATH=/opt/scalechat/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OPENBLAS_NUM_THREADS=1 \
    SCALECHAT_HOST=0.0.0.0 \
    SCALECHAT_OUT=/runs
WORKDIR /
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# http.client, not urllib: no proxy variable of the host may send this question elsewhere.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
  CMD ["python", "-I", "-S", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('SCALECHAT_PORT', '8080')), timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "scalechat"]
CMD ["serve"]

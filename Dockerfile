# The gateway and its engine in one image: `docker build --target cpu .` or `--target cuda`.
# Nothing is fetched when it runs; the store is mounted at /store.
FROM python:3.11.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/yibu
ENV PATH=/opt/yibu/bin:$PATH
WORKDIR /source
COPY deploy/constraints.txt deploy/
COPY pyproject.toml README.md LICENSE ./
COPY src src

# torch first and alone, since only its index differs; what it needs comes from PyPI with the rest.
FROM build AS build-cpu
RUN pip install --no-deps --index-url https://download.pytorch.org/whl/cpu torch==2.13.0 \
    && pip install --constraint deploy/constraints.txt ".[train,serve,gguf]"

# The wheel on PyPI brings CUDA's libraries; the driver comes from the host (NVIDIA Container Toolkit).
FROM build AS build-cuda
RUN pip install --constraint deploy/constraints.txt torch==2.13.0 \
    && pip install --constraint deploy/constraints.txt ".[train,serve,gguf]"

FROM python:3.11.13-slim-bookworm AS runtime
# HOME is where libraries look for caches: with a read-only root only /tmp can be written.
ENV PATH=/opt/yibu/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_WAIT_POLICY=PASSIVE \
    HF_HUB_OFFLINE=1 \
    HOME=/tmp \
    YIBU_STORE=/store
RUN groupadd --gid 10001 yibu \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin yibu \
    && install --directory --owner=10001 --group=10001 /store
WORKDIR /store
VOLUME /store
USER 10001:10001
EXPOSE 8000
# Alive, not ready: a model that is still being read from disk is no reason to start again.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["yibu"]
CMD ["serve", "production", "serve.host=0.0.0.0"]

FROM runtime AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-cuda /opt/yibu /opt/yibu

FROM runtime AS cpu
COPY --from=build-cpu /opt/yibu /opt/yibu

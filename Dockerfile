# The bot as it runs in production: requirements.txt without the sandbox, as a user without write access.
FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/venv/bin/pip install --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.txt

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin diptych
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY main.py ./
COPY bot bot
COPY handlers handlers
COPY inngest_functions inngest_functions
COPY web web
COPY services services
COPY providers providers
COPY storage storage
COPY migrations migrations
COPY locales locales
# Readable whatever the umask of the clone; compiled here, as the process cannot write, so that it starts faster.
RUN chmod -R a+rX . && python -m compileall -q .
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ENVIRONMENT=production \
    PORT=3001
USER 10001
EXPOSE 3001
# Checks only the process: with /health, an outage of Telegram or a provider would make every replica look broken.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/health/live\", timeout=4)"]
CMD ["python", "main.py"]

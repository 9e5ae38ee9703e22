# One image for the server and for a GPU worker: the same code, another command.
FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 RUNWELL_HOME=/var/lib/runwell
WORKDIR /opt/runwell
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY runwell runwell
COPY trainer trainer
COPY diagnostics diagnostics
COPY dashboard dashboard
RUN pip install -c constraints.txt '.[server,trainer]' \
 && useradd --create-home --uid 10001 runwell \
 && install -d -o runwell -g runwell /var/lib/runwell /var/lib/runwell-worker
USER runwell
VOLUME /var/lib/runwell
EXPOSE 8420
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD \
  ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8420/api/v1/health', timeout=2)"]
CMD ["runwell", "up", "--host", "0.0.0.0", "--no-first-run"]

# The control plane: the same image runs the web server, the workers, the agent and the one-off init.
# promtool comes from the release of Prometheus that docker-compose.yml runs: the two must agree.
FROM prom/prometheus:v3.5.3 AS prometheus

FROM python:3.11-slim-bookworm
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
COPY requirements.txt .
RUN pip install --requirement requirements.txt
COPY --from=prometheus /bin/promtool /usr/local/bin/promtool
COPY LICENSE NOTICE manage.py ./
COPY config_server config_server
COPY alerts alerts
COPY migrations migrations
COPY monitoring monitoring
RUN python -m compileall -q alerts config_server migrations \
 && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin config-server \
 # New volumes take owner and mode from these.
 && install -d -o config-server -m 0755 /rules \
 && install -d -o config-server -m 0700 /state \
 && install -d -o config-server -m 0755 /tokens
USER 10001
ENV VAR_DIR=/state PROMETHEUS_RULE_DIR=/rules
EXPOSE 8000
CMD ["gunicorn", "config_server.wsgi", "--config", "python:config_server.gunicorn", "--bind", "0.0.0.0:8000", "--workers", "2", "--threads", "8", "--no-control-socket"]

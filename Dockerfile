# One image for the app, the mail worker, the migrations and `init`.

FROM python:3.13-slim AS build
COPY requirements*.txt ./
# requirements-import.txt, while users with bcrypt or Argon2 hashes move in.
ARG EXTRA_REQUIREMENTS=
# The environment is made without pip, which stays behind in this stage; pip compiles what it installs.
RUN python -m venv --without-pip /opt/venv \
 && python -m pip --python /opt/venv/bin/python install --no-cache-dir --requirement requirements.txt \
    ${EXTRA_REQUIREMENTS:+--requirement $EXTRA_REQUIREMENTS}
WORKDIR /app
# What is copied is what .dockerignore lets through.
COPY . .
# The root file system is read-only later on: what is not compiled now would be compiled at every start.
RUN /opt/venv/bin/python -m compileall -q .

FROM python:3.13-slim
# Bytecode is all there. HOST: the container's network decides who can reach it, docker-compose.yaml publishes nothing.
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOST=0.0.0.0 PORT=8000
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
# A number, so that it is the same in every image and on the host; nothing in the image belongs to it.
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 CMD ["python", "-IS", "-c", \
 "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/health/ready'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["python", "main.py"]
CMD ["serve"]

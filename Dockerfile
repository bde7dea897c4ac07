# The demo project as a container; its servers come from compose.yaml or from your own addresses:
#   docker build -t poolapp-demo . && docker run -p 8000:8000 -e POOLAPP_POSTGRES_URL=... \
#       -e POOLAPP_ELASTICSEARCH_URL=... -e DJANGO_SECRET_KEY=... poolapp-demo
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app

COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt

COPY pyproject.toml README.md LICENSE manage.py ./
COPY poolapp poolapp
COPY project project
COPY templates templates
RUN pip install --no-cache-dir --no-deps .

RUN useradd --create-home app && chown app /app
USER app
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/pools/health/live')"]
CMD ["sh", "-c", "python manage.py migrate --no-input && python manage.py import_stdlib && exec daphne -b 0.0.0.0 -p 8000 project.asgi:application"]

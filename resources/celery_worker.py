"""What a worker runs: `celery -A resources.celery_worker worker`."""

from resources.celery_app import application

app = application()

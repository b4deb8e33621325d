"""Receives Buzz's events with Django, as multipart forms or JSON. Start: ``python receiver_django.py``."""

import json
import os
from wsgiref.simple_server import make_server

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from receiving import body_is_whole, is_from_buzz, nested, store

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    # Django refuses a body of more than 2.5 MiB (files aside): an event with a recording is larger.
    DATA_UPLOAD_MAX_MEMORY_SIZE=4 * 1024 * 1024,
)


@csrf_exempt  # the signatures say who sent the event
def receive(request: HttpRequest) -> HttpResponse:
    if not body_is_whole(request.headers, request.body, os.environ["BUZZ_SECRET"]):
        return HttpResponse("the body's signature is wrong", status=401)
    event = json.loads(request.body) if request.content_type == "application/json" else nested(request.POST.items())
    if not is_from_buzz(event["signature"], os.environ["BUZZ_API_KEY"]):
        return HttpResponse("the event's signature is wrong", status=401)
    store(event)
    return HttpResponse("stored")


urlpatterns = [path("buzz", receive)]
application = get_wsgi_application()

if __name__ == "__main__":
    make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), application).serve_forever()

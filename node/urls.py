"""The page's addresses."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path
from django.views.i18n import set_language

from node import views
from node.chat import key_views, openai_api
from node.chat import views as chat
from node.ratings import views as ratings
from node.rounds import learning_views
from node.rounds import views as rounds
from node.stick import views as stick_views
from node.sync import link_views
from node.sync import views as sync

handler404 = "node.views.missing"
handler403 = "node.views.forbidden"

urlpatterns = [
    path("", chat.chat, name="chat"),
    path("c/<uuid:conversation_id>/", chat.chat, name="conversation"),
    path("ask/", chat.ask, name="ask"),
    path("answers/<uuid:answer_id>/stream/", chat.stream, name="answer-stream"),
    path("answers/<uuid:answer_id>/stop/", chat.stop, name="answer-stop"),
    path("ratings/", ratings.queue, name="queue"),
    path("ratings/<uuid:answer_id>/", ratings.rate, name="rate"),
    path("ratings/<str:record_id>/withdraw/", ratings.withdraw, name="withdraw"),
    path("corrections/", rounds.corrections, name="corrections"),
    path("learning/", learning_views.learning, name="learning"),
    path("learning/stop/", learning_views.stop, name="learning-stop"),
    path("learning/resume/", learning_views.resume, name="learning-resume"),
    path("status/", views.status, name="status"),
    path("link/", link_views.link, name="link"),
    path("enrol/", sync.enrol, name="enrol"),
    path("stick/", stick_views.stick, name="stick"),
    path("stick/progress/", stick_views.progress, name="stick-progress"),
    path("stick/start/", stick_views.start, name="stick-start"),
    path("keys/", key_views.keys, name="keys"),
    path("keys/<int:number>/revoke/", key_views.revoke, name="key-revoke"),
    path("v1/chat/completions", openai_api.chat_completions, name="chat-completions"),
    path("v1/models", openai_api.models, name="models"),
    path("v1/models/<str:name>", openai_api.model, name="model"),
    path(
        "sign-in/",
        LoginView.as_view(template_name="node/sign_in.html", redirect_authenticated_user=True),
        name="sign-in",
    ),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("language/", set_language, name="set_language"),
]

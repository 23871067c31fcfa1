"""The page's addresses."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import path
from django.views.i18n import set_language

from node import app_views, views
from node.backup import views as backup_views
from node.chat import history_views, key_views, openai_api, stream_views
from node.chat import views as chat
from node.diagnosis import views as diagnosis_views
from node.guards import open_to_guests
from node.https import views as https_views
from node.people import sign_in
from node.people import views as people
from node.people.sign_in import StaffSignIn
from node.ratings import comparison_views
from node.ratings import views as ratings
from node.rounds import learning_views
from node.rounds import views as rounds
from node.stick import views as stick_views
from node.sync import link_views
from node.sync import views as sync
from node.textbooks import views as textbooks

handler400 = "node.views.unreadable"
handler404 = "node.views.missing"
handler403 = "node.views.forbidden"

urlpatterns = [
    path("", chat.chat, name="chat"),
    path("c/<uuid:conversation_id>/", chat.chat, name="conversation"),
    path("ask/", chat.ask, name="ask"),
    path("lesson/", chat.lesson, name="lesson"),
    path("answers/<uuid:answer_id>/again/", chat.again, name="answer-again"),
    path("answers/<uuid:answer_id>/stream/", stream_views.stream, name="answer-stream"),
    path("answers/<uuid:answer_id>/stop/", stream_views.stop, name="answer-stop"),
    path("passing/", chat.passing, name="passing"),
    path("passing/answer/", stream_views.passing_answer, name="passing-answer"),
    path("history/", history_views.history, name="history"),
    path("c/<uuid:conversation_id>/rename/", history_views.rename, name="conversation-rename"),
    path("c/<uuid:conversation_id>/delete/", history_views.delete, name="conversation-delete"),
    path("app.webmanifest", open_to_guests(app_views.manifest), name="manifest"),
    path("service-worker.js", open_to_guests(app_views.service_worker), name="service-worker"),
    path("offline/", open_to_guests(app_views.offline), name="offline"),
    path("ratings/", ratings.queue, name="queue"),
    path("ratings/outgoing/", ratings.outgoing, name="outgoing"),
    path("ratings/<uuid:answer_id>/", ratings.rate, name="rate"),
    path("ratings/<uuid:answer_id>/tap/", ratings.tap, name="tap"),
    path("ratings/<str:record_id>/withdraw/", ratings.withdraw, name="withdraw"),
    path("compare/", comparison_views.compare, name="compare"),
    path("compare/<uuid:comparison_id>/", comparison_views.comparison, name="comparison"),
    path("compare/<uuid:comparison_id>/write/", comparison_views.write, name="comparison-write"),
    path("compare/<uuid:comparison_id>/choose/", comparison_views.choose, name="comparison-choose"),
    path("corrections/", rounds.corrections, name="corrections"),
    path("corrections/<str:record_id>/ask/", ratings.ask_again, name="ask-again"),
    path("learning/", learning_views.learning, name="learning"),
    path("learning/stop/", learning_views.stop, name="learning-stop"),
    path("learning/resume/", learning_views.resume, name="learning-resume"),
    path("status/", views.status, name="status"),
    path("link/", link_views.link, name="link"),
    path("telephones/", https_views.telephones, name="telephones"),
    path("telephones/soro.crt", https_views.certificate, name="telephones-certificate"),
    path("telephones/switch/", https_views.switch, name="telephones-switch"),
    path("telephones/forget/", https_views.forget, name="telephones-forget"),
    path("backup/", backup_views.backup, name="backup"),
    path("backup/progress/", backup_views.progress, name="backup-progress"),
    path("backup/make/", backup_views.make, name="backup-make"),
    path("backup/stop/", backup_views.stop, name="backup-stop"),
    path("backup/restore/", backup_views.restore, name="backup-restore"),
    path("backup/settle/", backup_views.settle, name="backup-settle"),
    path("backup/download/", backup_views.download, name="backup-download"),
    path("diagnosis/", diagnosis_views.diagnosis, name="diagnosis"),
    path("diagnosis/make/", diagnosis_views.make, name="diagnosis-make"),
    path("enrol/", sync.enrol, name="enrol"),
    path("textbooks/", textbooks.textbooks, name="textbooks"),
    path("textbooks/progress/", textbooks.progress, name="textbooks-progress"),
    path("textbooks/add/", textbooks.add, name="textbook-add"),
    path("textbooks/<int:number>/", textbooks.textbook, name="textbook"),
    path("textbooks/<int:number>/change/", textbooks.change, name="textbook-change"),
    path("textbooks/<int:number>/delete/", textbooks.delete, name="textbook-delete"),
    path("textbooks/<int:number>/stop/", textbooks.stop, name="textbook-stop"),
    path("textbooks/<int:number>/read/", textbooks.read, name="textbook-read"),
    path("passages/<int:number>/", textbooks.passage, name="passage"),
    path("stick/", stick_views.stick, name="stick"),
    path("stick/progress/", stick_views.progress, name="stick-progress"),
    path("stick/start/", stick_views.start, name="stick-start"),
    path("keys/", key_views.keys, name="keys"),
    path("keys/<int:number>/revoke/", key_views.revoke, name="key-revoke"),
    path("v1/chat/completions", open_to_guests(openai_api.chat_completions), name="chat-completions"),
    path("v1/models", open_to_guests(openai_api.models), name="models"),
    path("v1/models/<str:name>", open_to_guests(openai_api.model), name="model"),
    path("sign-in/", open_to_guests(StaffSignIn.as_view()), name="sign-in"),
    path("password/", sign_in.password, name="password"),
    path("sign-out/", open_to_guests(LogoutView.as_view()), name="sign-out"),
    path("language/", open_to_guests(set_language), name="set_language"),
    path("class/", open_to_guests(sign_in.class_code), name="class-code"),
    path("class/who/", open_to_guests(sign_in.class_who), name="class-who"),
    path("class/leave/", open_to_guests(sign_in.class_leave), name="class-leave"),
    path("accounts/", people.accounts, name="accounts"),
    path("accounts/guests/", people.guests, name="guests"),
    path("accounts/roll/", people.roll, name="roll"),
    path("accounts/teachers/", people.teacher_add, name="teacher-add"),
    path("accounts/<int:person_id>/password/", people.password_renew, name="password-renew"),
    path("accounts/<int:person_id>/switch/", people.account_switch, name="account-switch"),
    path("accounts/classes/", people.class_add, name="class-add"),
    path("classes/", people.classes, name="classes"),
    path("classes/<int:class_id>/topics/", ratings.class_view, name="class-view"),
    path("classes/<int:class_id>/", people.class_page, name="class"),
    path("classes/<int:class_id>/change/", people.class_change, name="class-change"),
    path("classes/<int:class_id>/code/", people.code_renew, name="code-renew"),
    path("classes/<int:class_id>/pupils/", people.pupil_add, name="pupil-add"),
    path("pupils/<int:pupil_id>/pin/", people.pin_renew, name="pin-renew"),
    path("pupils/<int:pupil_id>/move/", people.pupil_move, name="pupil-move"),
]

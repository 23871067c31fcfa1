"""The schools app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class SchoolsConfig(AppConfig):
    """Enrolment and identity; the bottom of the centre."""

    name = "central.schools"
    label = "schools"
    verbose_name = _("Schools")

    def ready(self) -> None:
        """Keep roles and the database's triggers as they should be after every migration; add to schools' timelines."""
        from central.schools.append_only import triggers_keep  # noqa: PLC0415 - as below
        from central.schools.facts_triggers import facts_triggers_keep  # noqa: PLC0415 - as below
        from central.schools.groups import groups_keep  # noqa: PLC0415 - Django's way: no model may be read before

        post_migrate.connect(groups_keep, dispatch_uid="central.schools.groups")
        post_migrate.connect(triggers_keep, dispatch_uid="central.schools.append_only")
        post_migrate.connect(facts_triggers_keep, dispatch_uid="central.schools.facts")
        from central.schools.timeline import timeline_register  # noqa: PLC0415
        from central.schools.timeline_sources import contacts_and_keys  # noqa: PLC0415 - models exist only now

        timeline_register("schools", contacts_and_keys)

"""Keeps one Django group for each role, with exactly the permissions of `roles`, after every migration."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps

from central.schools.roles import ACCOUNTS, Role, permissions_of


def centre_apps() -> list[str]:
    """Return the labels of the centre's apps that have models, in the order in which they are migrated."""
    configs = [config for config in apps.get_app_configs() if config.name.startswith("central.")]
    return [config.label for config in configs if config.models_module is not None]


def groups_keep(sender: AppConfig, using: str, **_options: Any) -> None:  # noqa: ANN401 - a signal's arguments
    """Leave each role's group with its permissions; called once the last app of the centre has made its own."""
    if sender.label != centre_apps()[-1]:
        return
    from django.contrib.auth.models import Group, Permission  # noqa: PLC0415 - no model may be read before apps are

    labels = {*centre_apps(), "auth"}
    kept = Permission.objects.using(using).filter(content_type__app_label__in=labels).select_related("content_type")
    by_name = {f"{each.content_type.app_label}.{each.codename}": each for each in kept}
    known = {name for name in by_name if not name.startswith("auth.")} | (ACCOUNTS & by_name.keys())
    for role in Role:
        group, _is_new = Group.objects.using(using).get_or_create(name=role.value)
        held = permissions_of(role, known=known, national=_national_views())
        group.permissions.set(by_name[name] for name in held)


def _national_views() -> set[str]:
    """Return the permissions to view models that name no region."""
    models = (model for label in centre_apps() for model in apps.get_app_config(label).get_models())
    return {
        f"{model._meta.app_label}.view_{model._meta.model_name}"  # noqa: SLF001 - Django documents it
        for model in models
        if not is_regional(model)
    }


def is_regional(model: type[Any]) -> bool:
    """Tell whether somebody bound to a region sees any row of the model."""
    return hasattr(model, "in_region") or isinstance(getattr(model, "REGION", None), str)

"""What an account of the admin is for: its role, and the region that a regional one is bound to."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from central.schools.roles import Role


class Account(models.Model):
    """The role of one of the ministry's people; who has none and is no superuser sees nothing."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="account", verbose_name=_("user")
    )
    role = models.CharField(_("role"), max_length=16, choices=Role.choices)
    region = models.CharField(
        _("region"), max_length=120, blank=True, help_text=_("Empty for whoever is there for the whole country.")
    )

    class Meta:
        verbose_name = _("role of a user")
        verbose_name_plural = _("roles of users")
        constraints = (
            models.CheckConstraint(condition=Q(role__in=Role.values), name="account_role_known"),
            models.CheckConstraint(
                condition=(Q(role="regional_admin") & ~Q(region=""))
                | Q(role="reviewer")
                | Q(role__in=["national_admin", "auditor"], region=""),
                name="account_region_fits_role",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_role_display()} {self.region}".strip()

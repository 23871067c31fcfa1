"""Puts the centre's site in the place of unfold's; stands for `unfold` among the installed apps."""

from django.apps import AppConfig
from django.contrib import admin
from django.contrib.admin import sites

from central.admin_site import CentreAdminSite


class CentreAdminConfig(AppConfig):
    """Unfold, whose site is `central.admin_site`'s."""

    name = "unfold"

    def ready(self) -> None:
        """Make the site before any app registers its pages on it."""
        site = CentreAdminSite()
        admin.site = site
        sites.site = site

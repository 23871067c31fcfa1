"""Words for people that stand in no single page: what a round waits for, why it ended, what is odd about an update."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext_noop as _

WAITS: Mapping[str, str] = {
    "collecting": _("more updates, or its deadline"),
    "full_but_young": _("the days that a round collects at least, so that schools that come seldom are not too late"),
    "enough_updates": _("nothing: it is combined with the next look"),
    "deadline": _("nothing: it is combined with the next look"),
    "season_closed": _("nothing: it is combined with the next look"),
    "not_enough_updates": _(
        "more updates: while its season is open its deadline is put off, afterwards it ends without a release"
    ),
    "another_round_combined": _("another round of the season, which is being combined"),
    "candidate_waiting": _("the signature of the last candidate; meanwhile it goes on collecting"),
}

ENDS: Mapping[str, str] = {
    "enough_updates": _("as many updates as wanted"),
    "deadline": _("its deadline"),
    "season_closed": _("its season was closed"),
    "not_enough_updates": _("too few updates"),
}
"""Why the centre ended a round by itself; other reasons are a person's or an error's own words."""

REASONS: Mapping[str, str] = {
    "far_longer": _("far longer than the others"),
    "against_the_others": _("points against the others"),
    "twin": _("nearly the same as another school's"),
    "odd_loss": _("claims losses unlike the others'"),
    "worse_on_own_labels": _("made the school's own held-out labels worse"),
    "worse_on_own_corrections": _("makes its own school's corrections less likely"),
    "worse_on_others_corrections": _("makes other schools' corrections less likely"),
}
"""`federation.learning.modes.outliers.OutlierReason` in words."""

FIGURES: Mapping[str, str] = {
    "norm": _("length"),
    "norm_ratio": _("length, in median lengths"),
    "cosine": _("cosine with the others' direction"),
    "cosine_deviation": _("that, in deviations from the usual"),
    "nearest": _("cosine with the nearest update"),
    "loss_gain": _("gain that it claims, nats a token"),
    "loss_gain_deviation": _("that, in deviations from the usual"),
    "held_out_gain": _("gain on held-out labels, nats a token"),
    "own_gain": _("gain seen on its own school's corrections, nats a token"),
    "others_gain": _("gain seen on other schools' corrections, nats a token"),
    "others_gain_deviation": _("that, in deviations from the usual"),
    "tried_on": _("number of the season's adapter that both were tried on"),
    "released_by": _("let count by"),
}
"""`federation.learning.modes.outliers.OutlierFigures` in words, and who and what they hang on."""

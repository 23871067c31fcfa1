"""What a season's settings make of its plans, scheme by scheme."""

from central.training.plan_settings import NATURAL_PLAN, NaturalTerms, PlanSettings, StepTerms
from federation.wire.canonical import from_plain, to_plain
from federation.wire.rounds import SchemeName

SLOTS = tuple(f"layers.{layer}.{part}" for layer in range(18) for part in ("qkv", "o", "gate", "up", "down"))


def test_the_uppermost_third_learns_in_the_projections_that_are_named():
    assert NATURAL_PLAN.slots_of(SLOTS) == tuple(f"layers.{layer}.down" for layer in range(12, 18))


def test_the_share_of_layers_is_rounded_up_so_that_one_always_learns():
    settings = PlanSettings(parts=("o",), layers_share=0.01)
    assert settings.slots_of(SLOTS) == ("layers.17.o",)
    assert settings.slots_of(["layers.0.o"]) == ("layers.0.o",)


def test_a_share_that_rounding_has_lifted_by_a_hair_takes_no_further_layer():
    settings = PlanSettings(parts=("o",), layers_share=1 / 3 + 1e-12)
    assert len(settings.slots_of(SLOTS)) == 6


def test_only_ffa_lora_learns_in_more_directions_than_an_adapter_has():
    assert NATURAL_PLAN.rank_of(SchemeName.FFA_LORA) == 256
    assert {NATURAL_PLAN.rank_of(name) for name in SchemeName if name is not SchemeName.FFA_LORA} == {64}


def test_schemes_without_gram_matrices_take_adams_steps_and_its_servers():
    natural = NATURAL_PLAN.natural
    plan = NATURAL_PLAN
    asked = {name: (plan.steps_of(name), plan.scale_of(name, norm=0.25, adopted=0)) for name in SchemeName}
    by_gram = (
        StepTerms(max_steps=natural.steps, longest_step=natural.longest),
        natural.server_length / 0.25,
    )
    by_adam = (
        StepTerms(max_steps=NATURAL_PLAN.max_steps, longest_step=0.0),
        NATURAL_PLAN.server_scale,
    )
    assert asked == {
        SchemeName.FFA_LORA: by_gram,
        SchemeName.FED_SB: by_gram,
        SchemeName.FEDIT: by_adam,
        SchemeName.FLORA: by_adam,
    }


def test_the_servers_step_is_whole_in_the_first_rounds_and_then_falls_with_their_number():
    natural = NaturalTerms(steps=1, longest=4.0, server_length=0.5, hold=1.0, full_rounds=4)
    lengths = [natural.length_after(adopted) for adopted in range(8)]
    assert lengths == [0.5, 0.5, 0.5, 0.5, 0.5 * 4 / 5, 0.5 * 4 / 6, 0.5 * 4 / 7, 0.25]


def test_the_servers_step_of_a_season_opened_before_it_could_shorten_stays_as_long_as_it_was():
    natural = NaturalTerms(steps=1, longest=4.0, server_length=0.5, hold=1.0)
    assert {natural.length_after(adopted) for adopted in range(40)} == {0.5}


def test_updates_that_cancel_out_move_nothing():
    assert NATURAL_PLAN.scale_of(SchemeName.FFA_LORA, norm=0.0, adopted=0) == 0.0


def test_a_season_that_was_opened_before_these_settings_goes_on_as_it_did():
    kept = to_plain(PlanSettings())
    for name in ("directions", "layers_share", "ridge", "natural"):
        del kept[name]
    settings = from_plain(PlanSettings, kept)
    assert settings == PlanSettings()
    assert settings.slots_of(SLOTS) == tuple(slot for slot in SLOTS if slot.rpartition(".")[2] in ("o", "down"))
    assert settings.rank_of(SchemeName.FFA_LORA) == 64
    steps = StepTerms(max_steps=20, longest_step=0.0)
    assert settings.steps_of(SchemeName.FFA_LORA) == steps

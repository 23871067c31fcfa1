"""The learning benchmark, on a tiny base and three schools: what it compares is what it says."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from central.training.plan_settings import PlanSettings
from federation.learning.modes.mode import RobustRule
from federation.learning.schemes.contribution import Contribution
from federation.learning.schemes.scheme import Fusion
from federation.trust.keys import node_key_create
from federation.wire.rounds import Factor, SchemeName
from tests.benchmarks.labels.label_set import Split, labels_read, labels_split
from tests.benchmarks.learning.arms import Arm, PrivateArm, Settings
from tests.benchmarks.learning.base import Base
from tests.benchmarks.learning.findings import findings_make
from tests.benchmarks.learning.kept import Kept
from tests.benchmarks.learning.schools import School, schools_deal, teacher_labels
from tests.benchmarks.learning.trial import POISON, Trial, poison, poisoned_names
from tests.benchmarks.rounds_learning import rows
from tests.learning.tiny_package import tiny_package

LABELS = labels_split(labels_read())
TRAINED = LABELS[Split.TRAINED]
PLAN = PlanSettings(rank=4, parts=("o", "down"), max_steps=2, learning_rate=1e-2)
SETTINGS = Settings(
    plan=PLAN,
    central=PLAN,
    schools=3,
    mean_sizes=(1.0,),
    rounds=2,
    crowds=(1,),
    noise_multipliers=(1.0,),
    rules=(RobustRule.TRIMMED_MEAN,),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    package = tiny_package(folder, context_tokens=512)
    return Base(package, dtype=torch.float32, key=node_key_create(folder / "node.pem"), work=folder)


@pytest.fixture
def trial(base, tmp_path):
    # Three labels a school: a tiny base reads Tajik byte by byte.
    schools = [
        School(name=f"school-{number}", region="Суғд", labels=TRAINED[3 * number : 3 * number + 3])
        for number in range(3)
    ]
    return _trial(base, tmp_path, schools)


def _trial(base, root, schools, **fields):
    held_out = {split: LABELS[split][:2] for split in (Split.REWORDED, Split.UNTAUGHT)}
    return Trial(
        settings=replace(SETTINGS, **fields),
        base=base,
        kept=Kept(root / "kept"),
        schools=schools,
        held_out=held_out,
        prose={"tg": "Баҳор омад."},
        say=lambda line: None,
    )


def _same(one, other):
    return all(np.array_equal(one.b[slot], other.b[slot]) for slot in one.b)


def test_every_label_is_dealt_to_one_school_and_the_same_seed_deals_the_same():
    schools = schools_deal(TRAINED, count=20, concentration=0.5, seed=1)

    assert schools == schools_deal(TRAINED, count=20, concentration=0.5, seed=1)
    assert sorted(label.id for school in schools for label in school.labels) == sorted(label.id for label in TRAINED)


def test_a_lower_concentration_makes_schools_of_fewer_subjects():
    def subjects(concentration):
        schools = schools_deal(TRAINED, count=10, concentration=concentration, seed=1)
        return np.mean([len({label.subject for label in school.labels}) / len(school.labels) for school in schools])

    assert subjects(0.3) < subjects(100.0)


def test_too_few_labels_for_the_schools_are_refused():
    with pytest.raises(ValueError, match="too few labels"):
        schools_deal(TRAINED[:20], count=20, concentration=0.5, seed=1)


def test_a_label_without_correction_teaches_by_its_stars():
    rated = next(label for label in TRAINED if not label.correction and label.stars == 5)

    kinds = [label.kind.value for label in teacher_labels([rated, replace(rated, stars=1), replace(rated, stars=3)])]

    assert kinds == ["good", "bad"]


def test_one_school_in_five_of_every_region_is_poisoned():
    schools = schools_deal(TRAINED, count=20, concentration=0.5, seed=1)
    names = poisoned_names(schools)

    assert len(names) == 4
    assert len({school.region for school in schools if school.name in names}) == 4


def test_poison_turns_what_was_learnt_and_leaves_the_gram_matrices():
    learnt, gram = np.ones((2, 3), np.float32), np.eye(2, dtype=np.float32)
    arrays = {("s", Factor.B): learnt, ("s", Factor.GRAM): gram}

    poisoned = poison(Contribution(node_id="n", labels=1, staleness=0, arrays=arrays)).arrays

    np.testing.assert_array_equal(poisoned["s", Factor.B], learnt * POISON)
    np.testing.assert_array_equal(poisoned["s", Factor.GRAM], gram)


def test_a_season_of_one_school_is_that_school_alone(base, tmp_path):
    trial = _trial(base, tmp_path, [School(name="school-0", region="Суғд", labels=TRAINED[:3])])

    (season,) = trial.season(Arm(name="one", fusion=Fusion.MEAN, size=1.0))
    (alone,) = trial.alone()

    assert _same(season, alone)
    assert any(np.abs(b).max() > 0 for b in season.b.values())


def test_training_leaves_the_base_as_it_was(base, tmp_path, trial):
    before = trial.examine(None)
    trial.season(SETTINGS.default)

    # Nothing kept by the first: it must be measured again.
    assert _trial(base, tmp_path / "other", trial.schools).examine(None) == before


def test_a_second_round_trains_from_the_first_rounds_adapter(trial):
    first, second = trial.season(SETTINGS.default)
    plans = [trial.trainings.plan(SchemeName.FFA_LORA, version, start) for version, start in ((0, None), (1, first))]

    assert plans[0].start == "" != plans[1].start
    assert not _same(first, second)


def test_flora_and_fedit_share_the_training_from_the_bare_base(trial):
    assert trial.trainings.plan(SchemeName.FLORA, 0, None) == trial.trainings.plan(SchemeName.FEDIT, 0, None)


def test_noise_too_weak_to_matter_leaves_the_clipped_mean(base, tmp_path, trial):
    noiseless, _ = trial.private(PrivateArm(scheme=SchemeName.FED_SB, crowd=10**9, noise_multiplier=1.0))
    noised, _ = trial.private(PrivateArm(scheme=SchemeName.FED_SB, crowd=1, noise_multiplier=1.0))
    plan = replace(SETTINGS.plan, max_norm=SETTINGS.private_norm, max_labels=SETTINGS.private_labels)
    clipped = _trial(base, tmp_path, trial.schools, plan=plan)
    (mean,) = clipped.season(Arm(name="mean", scheme=SchemeName.FED_SB, fusion=Fusion.MEAN, size=SETTINGS.private_size))

    for slot, b in mean.b.items():
        np.testing.assert_allclose(noiseless.b[slot], b, atol=1e-3 * np.abs(b).max())
    assert not _same(noiseless, noised)


def test_more_noise_costs_less_epsilon(trial):
    spent = [
        trial.private(PrivateArm(scheme=SchemeName.FED_SB, crowd=1, noise_multiplier=noise))[1] for noise in (1.0, 4.0)
    ]

    assert spent[0] > spent[1] > 0


@pytest.mark.slow
def test_a_run_that_was_cut_goes_on_without_training_again(base, tmp_path):
    # Five, so that the region has enough schools for the robust rule.
    schools = [
        School(name=f"school-{number}", region="Суғд", labels=TRAINED[2 * number : 2 * number + 2])
        for number in range(5)
    ]
    first = findings_make(_trial(base, tmp_path, schools))
    # Can neither train nor examine.
    memory = SimpleNamespace(sizes=base.sizes, digest=base.digest)

    again = findings_make(_trial(memory, tmp_path, schools))

    assert rows(again) == rows(first)
    names = {row.name for row in rows(first)}
    assert {"gain_share_default", "gain_share_robust", "bytes_up_fed-sb", "gain_over_best_school"} <= names
    first.plot(tmp_path)
    assert len(list(tmp_path.glob("rounds-learning-*.png"))) == 3


def test_what_decides_a_training_names_it(base, tmp_path, trial):
    (slow,) = trial.season(Arm(name="slow", size=1.0))
    faster = replace(SETTINGS.plan, learning_rate=2 * SETTINGS.plan.learning_rate)
    (fast,) = _trial(base, tmp_path, trial.schools, plan=faster).season(Arm(name="fast", size=1.0))
    fewer = [replace(school, labels=school.labels[:2]) for school in trial.schools]
    (other,) = _trial(base, tmp_path, fewer).season(Arm(name="fewer", size=1.0))

    assert not _same(slow, fast)
    assert not _same(slow, other)

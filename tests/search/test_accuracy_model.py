"""Intervals of effects hold the truth as often as they say, on simulated runs whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from mpsearch.search.accuracy_model import AccuracyModel

SAMPLES = 2000
DAMAGE = np.array([1.0, 0.7, 0.45, 0.15, 0.04, 0.0])
SCHEMES = len(DAMAGE)


class Truth:
    """A network whose accuracy falls with the schemes of its choices; `interaction` couples neighbours."""

    def __init__(self, seed, *, choices=8, strength=0.03, interaction=0.0):
        generator = np.random.default_rng(seed)
        self.choices = choices
        sensitivity = generator.gamma(1.5, 1 / 1.5, choices)
        noise = np.exp(0.3 * generator.standard_normal((choices, SCHEMES)))
        self.effects = strength * sensitivity[:, None] * DAMAGE * noise
        self.coupling = interaction * strength * generator.standard_normal(choices - 1)

    def accuracy(self, ranks):
        ranks = np.atleast_2d(ranks)
        lost = self.effects[np.arange(self.choices), ranks].sum(1)
        damage = DAMAGE[ranks]
        lost = lost + (damage[:, 1:] * damage[:, :-1]) @ self.coupling
        return np.clip(0.95 - lost, 0.0, 1.0)

    def trials(self, count, seed, *, noise=0.003):
        generator = np.random.default_rng(seed)
        uniform = [np.full(self.choices, rank) for rank in reversed(range(SCHEMES))]
        drawn = generator.integers(0, SCHEMES, (count - SCHEMES, self.choices))
        ranks = np.concatenate([np.array(uniform), drawn])
        scores = self.accuracy(ranks) + noise * generator.standard_normal(count)
        return ranks, np.round(np.clip(scores, 0, 1) * SAMPLES) / SAMPLES


def single_changes(choices):
    reference = np.full(choices, SCHEMES - 1)
    changed = np.tile(reference, (choices * (SCHEMES - 1), 1))
    for row, (choice, rank) in enumerate(np.ndindex(choices, SCHEMES - 1)):
        changed[row, choice] = rank
    return reference, changed


def fitted(truth, count, seed=1, **options):
    ranks, scores = truth.trials(count, seed, **options)
    model = AccuracyModel(ranks, scores, samples=SAMPLES)
    reference, changed = single_changes(truth.choices)
    return model, model.changes(reference, changed, tolerance=0.01)


def true_changes(truth):
    reference, changed = single_changes(truth.choices)
    return truth.accuracy(changed) - truth.accuracy(reference)


@pytest.mark.parametrize(
    ("count", "options"),
    [(25, {}), (50, {}), (50, {"interaction": 1.0}), (40, {"strength": 0.1})],
    ids=["25 trials", "50 trials", "interactions", "networks that break down"],
)
def test_nine_of_ten_intervals_or_more_hold_the_true_effect(count, options):
    covered, widths, errors, sizes = [], [], [], []
    for seed in range(7):
        truth = Truth(seed, **options)
        _, changes = fitted(truth, count, seed=100 + seed)
        true = true_changes(truth)
        covered.append((changes.low <= true) & (true <= changes.high))
        widths.append((changes.high - changes.low) / 2)
        errors.append(changes.change - true)
        sizes.append(true)
    assert np.mean(covered) >= 0.9
    # Infinite intervals would hold everything: they must be of the size of the errors, and of use.
    assert np.mean(widths) < 5 * np.sqrt(np.mean(np.square(errors)))
    assert np.mean(np.square(errors)) < 0.5 * np.mean(np.square(sizes))


def test_policies_that_stray_from_the_sum_of_their_layers_lie_in_the_intervals_of_retraining():
    plain, retrained = [], []
    for seed in range(6):
        truth = Truth(20 + seed)
        generator = np.random.default_rng(seed)
        ranks, scores = truth.trials(50, 1, noise=0.004)
        reference, changed = single_changes(truth.choices)
        own = 0.008 * generator.standard_normal(50 + len(changed))  # comes again with every training
        model = AccuracyModel(ranks, scores + own[:50], samples=SAMPLES)
        changes = model.changes(reference, changed, tolerance=0.01)
        shown = truth.accuracy(changed) + own[50:] - truth.accuracy(reference) - own[0]
        plain.append((changes.low <= shown) & (shown <= changes.high))
        retrained.append((changes.retrained_low <= shown) & (shown <= changes.retrained_high))
    assert np.mean(retrained) >= 0.85
    assert np.mean(plain) < np.mean(retrained) - 0.05


def test_more_trials_narrow_the_intervals():
    truth = Truth(3)
    widths = [np.mean(c.high - c.low) for c in (fitted(truth, n)[1] for n in (15, 50, 150))]
    assert widths[0] > 1.3 * widths[1] > 1.3 * widths[2]


def test_cells_never_seen_are_wide_and_lie_near_the_mean_of_their_scheme():
    truth = Truth(5, choices=10)
    ranks, scores = truth.trials(80, 1)
    keep = np.ones(len(ranks), dtype=bool)
    keep[SCHEMES:] = ranks[SCHEMES:, 0] != 0
    keep[SCHEMES - 1] = False  # the uniform policy of that scheme too
    model = AccuracyModel(ranks[keep], scores[keep], samples=SAMPLES)
    reference, changed = single_changes(10)
    changes = model.changes(reference, changed, tolerance=0.01)
    of_scheme = np.flatnonzero((changed == 0).any(1))
    unseen, seen = of_scheme[0], of_scheme[1:]
    width = changes.high - changes.low
    assert width[unseen] > 1.3 * np.mean(width[seen])
    assert changes.change[unseen] < -0.005
    assert min(changes.change[seen]) < changes.change[unseen] < max(changes.change[seen])


def test_the_order_of_the_trials_changes_nothing():
    truth = Truth(7)
    ranks, scores = truth.trials(40, 1)
    reference, changed = single_changes(truth.choices)
    shuffled = np.random.default_rng(0).permutation(40)
    one = AccuracyModel(ranks, scores, samples=SAMPLES)
    other = AccuracyModel(ranks[shuffled], scores[shuffled], samples=SAMPLES)
    first, second = (model.changes(reference, changed, tolerance=0.01) for model in (one, other))
    for name in ("change", "low", "high", "retrained_low", "retrained_high", "repeats"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    np.testing.assert_array_equal(one.left_out().predicted[shuffled], other.left_out().predicted)


def test_perfect_and_equal_scores_are_no_trouble():
    ranks, _ = Truth(0).trials(20, 1)
    reference, changed = single_changes(8)
    changes = AccuracyModel(ranks, np.ones(20), samples=100).changes(reference, changed, tolerance=0.01)
    assert np.all(np.isfinite([changes.change, changes.low, changes.high]))
    assert np.all(np.abs(changes.change) < 0.01)
    assert changes.reference > 0.98


def test_changes_stay_within_0_to_1_where_most_networks_break_down():
    _, changes = fitted(Truth(1, strength=0.6), 40)
    assert 0 <= changes.reference <= 1
    assert np.all(changes.low >= -1)
    assert np.all(changes.high <= 1)
    assert np.all((changes.low <= changes.change) & (changes.change <= changes.high))


def test_left_out_predictions_equal_those_of_models_that_lack_the_trial():
    truth = Truth(2, choices=5)
    ranks, scores = truth.trials(40, 1)
    predicted = AccuracyModel(ranks, scores, samples=SAMPLES).left_out().predicted
    for trial in (8, 20, 33):
        rest = np.arange(40) != trial
        without = AccuracyModel(ranks[rest], scores[rest], samples=SAMPLES)
        expected = without.changes(ranks[trial], ranks[trial][None], tolerance=0.01).reference
        assert predicted[trial] == pytest.approx(expected, abs=0.004)
    assert np.corrcoef(predicted, scores)[0, 1] > 0.8


def test_all_trainings_of_a_policy_are_left_out_together():
    truth = Truth(2, choices=5)
    ranks, scores = truth.trials(40, 1)
    lucky = scores[20] + np.array([0.03, 0.04, 0.05])
    again, more = np.concatenate([ranks, ranks[[20] * 3]]), np.concatenate([scores, lucky])
    found = AccuracyModel(again, more, samples=SAMPLES).left_out()
    assert found.measured == pytest.approx([*scores[:20], np.mean([scores[20], *lucky]), *scores[21:]])
    rest = np.arange(40) != 20
    without = AccuracyModel(ranks[rest], scores[rest], samples=SAMPLES)
    expected = without.changes(ranks[20], ranks[20][None], tolerance=0.01).reference
    assert found.predicted[20] == pytest.approx(expected, abs=0.006)


def test_a_policy_that_was_repeated_is_known_better_than_one_that_was_not():
    truth = Truth(4)
    ranks, scores = truth.trials(40, 1)
    again = np.repeat(ranks[:1], 12, axis=0)
    generator = np.random.default_rng(2)
    more = np.concatenate([scores, truth.accuracy(again) + 0.003 * generator.standard_normal(12)])
    reference, changed = single_changes(truth.choices)
    once = AccuracyModel(ranks, scores, samples=SAMPLES).changes(reference, changed, tolerance=0.01)
    often = AccuracyModel(np.concatenate([ranks, again]), more, samples=SAMPLES).changes(
        reference, changed, tolerance=0.01
    )
    assert np.mean(often.high - often.low) < np.mean(once.high - once.low)
    assert abs(often.reference - truth.accuracy(reference)[0]) < 0.002


def test_how_many_trials_would_tell_is_said_and_about_that_many_do():
    truth = Truth(6, choices=6, strength=0.06)
    ranks, scores = truth.trials(40, 1)
    reference, changed = single_changes(6)
    changes = AccuracyModel(ranks, scores, samples=SAMPLES).changes(reference, changed, tolerance=0.01)
    clear = (changes.low > -0.01) | (changes.high < -0.01)
    np.testing.assert_array_equal(changes.repeats == 0, clear)
    row = np.flatnonzero(changes.repeats > 0)[0]
    count = int(changes.repeats[row])
    # So many trials near the changed policy, which score as is expected of it:
    generator = np.random.default_rng(5)
    near = np.repeat(changed[row : row + 1], count, axis=0)
    others = np.flatnonzero(changed[row] == reference)
    near[np.arange(count), generator.choice(others, count)] -= 1
    more = AccuracyModel(
        np.concatenate([ranks, near]),
        np.concatenate([scores, np.full(count, changes.reference + changes.change[row])]),
        samples=SAMPLES,
    ).changes(reference, changed, tolerance=0.01)
    assert more.high[row] - more.low[row] < changes.high[row] - changes.low[row]
    assert 0 <= more.repeats[row] <= max(count // 2, 1)

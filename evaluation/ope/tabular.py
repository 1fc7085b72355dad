"""Models of a log on finitely many cells: values by fitted Q evaluation, and how often a policy would be where."""

from typing import NamedTuple

import numpy as np

from pointsman.evaluation.ope.cells import Cells
from pointsman.evaluation.ope.log import DecisionLog, Floats, Ints


class Steps(NamedTuple):
    """Rows of a log by step: those of step t are order[first[t] : first[t + 1]]."""

    order: Ints
    first: Ints

    def at(self, t: int) -> Ints:
        """Rows of step t."""
        return self.order[self.first[t] : self.first[t + 1]]


def by_step(log: DecisionLog) -> Steps:
    """Rows by step."""
    count = np.bincount(log.step, minlength=log.horizon)
    return Steps(np.argsort(log.step, kind="stable"), np.concatenate([[0], np.cumsum(count)]))


def fitted_q(
    log: DecisionLog, cell: Cells, target: Floats, reward: Floats, keep: Floats, folds: int = 1
) -> tuple[Floats, Floats]:
    """Fitted Q evaluation with a table per step: q [N, A] and v = sum over actions of target * q [N].

    Every row's value comes from the other folds of the episodes; with one fold from the whole log. What was never tried in a
    cell counts as the mean of what was, and a cell that the other folds lack as the mean of the step.

    Args:
        reward: [N]; keep: discount between a decision and the next one [N].
    """
    n, actions, steps = len(log), log.actions, by_step(log)
    fold = log.units[log.episode] % folds if folds > 1 else np.zeros(n, np.int64)
    q, v = np.zeros((n, actions)), np.zeros(n)
    for k in range(folds):
        mine = np.ones(n, bool) if folds == 1 else fold == k
        ahead = np.zeros(n + 1)  # value of each row under this fold's model; the last stands for the end
        for t in range(log.horizon - 1, -1, -1):
            rows = steps.at(t)
            used = rows if folds == 1 else rows[fold[rows] != k]
            if not len(used):
                continue
            # Only cells that the step comes to: a long log has few in each.
            here, place = np.unique(cell.of[rows], return_inverse=True)
            aim = reward[used] + keep[used] * ahead[log.following[used]]
            at = np.searchsorted(here, cell.of[used]) * actions + log.action[used]
            table = _means(at, aim, len(here), actions)
            found = table[place]
            value = (target[rows] * found).sum(1)
            ahead[rows] = value
            own = mine[rows]
            q[rows[own]], v[rows[own]] = found[own], value[own]
    return q, v


def _means(code: Ints, aim: Floats, count: int, actions: int) -> Floats:
    """Means [S, A] of `aim` by cell and action; where there is none, of the cell, and else of all."""
    total = np.bincount(code, aim, count * actions).reshape(count, actions)
    times = np.bincount(code, minlength=count * actions).reshape(count, actions)
    in_cell, ever = times.sum(1), times > 0
    mean = np.where(in_cell > 0, total.sum(1) / np.maximum(in_cell, 1), aim.mean())
    # The mean over the actions that were tried, each counting once: what the logging policy prefers says nothing here.
    each = np.where(ever, total / np.maximum(times, 1), 0.0)
    mean = np.where(in_cell > 0, each.sum(1) / np.maximum(ever.sum(1), 1), mean)
    return np.where(ever, each, mean[:, None])


def shares(log: DecisionLog, code: Ints, count: int, values: Floats) -> Floats:
    """Mean of values [N] over the rows of the same code [N]."""
    return (np.bincount(code, values, count) / np.maximum(np.bincount(code, minlength=count), 1))[code]


def empirical_ratio(log: DecisionLog, code: Ints, count: int, target: Floats) -> Floats:
    """Target's mean probability in a cell over the share with which the cell's actions were taken, at the rows' own actions.

    Scaled to a mean of 1 in every cell: actions that were never tried there are left out, and count as the others do.
    """
    actions = log.actions
    pairs, place = np.unique(code * actions + log.action, return_inverse=True)
    times = np.bincount(place)
    where = pairs // actions
    size = np.bincount(code, minlength=count)
    mean = np.zeros(len(pairs))
    for a in range(actions):
        of_action = np.bincount(code, target[:, a], count) / np.maximum(size, 1)
        mine = pairs % actions == a
        mean[mine] = of_action[where[mine]]
    ratio = (mean * size[where] / times)[place]
    return _scaled(ratio, code, count)


def _scaled(ratio: Floats, code: Ints, count: int) -> Floats:
    """Ratios scaled to a mean of 1 in every cell; where all are 0, they become 1."""
    size = np.maximum(np.bincount(code, minlength=count), 1)
    mean = np.bincount(code, ratio, count) / size
    return np.where(mean[code] > 0, ratio / np.where(mean > 0, mean, 1.0)[code], 1.0)


class Marginal(NamedTuple):
    """Marginalised importance sampling by step and cell."""

    contribution: Floats  # [E], whose mean is the estimate, and whose spread tells its error
    weight: Floats  # [N] how much more often the policy would be in that cell at that step


def marginalised(
    log: DecisionLog, cell: Cells, target: Floats, reward: Floats, keep: Floats, factor: Floats, propensity: Floats | None
) -> Marginal:
    """Value of the episodes by marginalised importance sampling (Xie, Ma and Wang 2019) on cells of every step.

    With `propensity` [N] the ratios of actions are the logged ones, scaled to a mean of 1 in each cell; without, those of a
    model of the log, and this is the direct method. The episodes' contributions are the linearised estimate, as in double
    reinforcement learning (Kallus and Uehara 2020).
    """
    n, steps = len(log), by_step(log)
    weight, value, best = np.zeros(n), np.zeros(n + 1), np.zeros(n)
    ratio = np.ones(n)
    chosen = target[np.arange(n), log.action]
    places = []
    for t in range(log.horizon):
        rows = steps.at(t)
        here, place = np.unique(cell.of[rows], return_inverse=True)
        places.append(place)
        if propensity is None:
            ratio[rows] = _cell_ratio(place, len(here), log.action[rows], target[rows])
        else:
            ratio[rows] = _scaled(chosen[rows] / propensity[rows], place, len(here))
        if t == 0:
            weight[rows] = 1.0
        else:
            before = rows - 1
            mass = np.bincount(place, weight[before] * ratio[before], len(here))
            weight[rows] = (mass / np.bincount(place, minlength=len(here)))[place]
    for t in range(log.horizon - 1, -1, -1):
        rows, place = steps.at(t), places[t]
        count = place.max() + 1
        aim = reward[rows] + keep[rows] * value[log.following[rows]]
        size = np.bincount(place, minlength=count)
        of_cell = np.bincount(place, ratio[rows] * aim, count) / size
        value[rows] = of_cell[place]
        if propensity is None:
            # The model knows the actions' shares: only what is left within cell and action is chance.
            pairs = place * log.actions + log.action[rows]
            times = np.bincount(pairs, minlength=count * log.actions)
            of_pair = np.bincount(pairs, aim, count * log.actions) / np.maximum(times, 1)
            best[rows] = weight[rows] * ratio[rows] * _freed(aim - of_pair[pairs], times[pairs])
        else:
            best[rows] = weight[rows] * ratio[rows] * _freed(aim - of_cell[place], size[place])
    contribution = value[log.start[:-1]] + log.sums(factor * best)
    return Marginal(contribution, weight)


def _freed(rest: Floats, times: Ints) -> Floats:
    """Residuals of means of so many, which are too small for having shaped the mean, as large as those of others."""
    return rest * np.sqrt(times / np.maximum(times - 1, 1))


def _cell_ratio(place: Ints, count: int, action: Ints, target: Floats) -> Floats:
    """Model's ratio of the actions' probabilities within the cells of one step, of mean 1 in each."""
    actions = target.shape[1]
    pairs = place * actions + action
    times = np.bincount(pairs, minlength=count * actions).reshape(count, actions)
    wanted = np.stack([np.bincount(place, target[:, a], count) for a in range(actions)], 1)
    ratio = np.where(times > 0, wanted / np.maximum(times, 1), 0.0).reshape(-1)[pairs]
    return _scaled(ratio, place, count)


class Stationary(NamedTuple):
    """Long-run reward per unit of time by stationary shares of the cells: ratio of the totals of `over` and `under` [E]."""

    over: Floats
    under: Floats
    weight: Floats  # [N]


def stationary(log: DecisionLog, cell: Cells, target: Floats, propensity: Floats | None) -> Stationary:
    """Reward rate in the long run of the chain of cells (a semi-Markov one: time is what really elapsed).

    The empirical transitions, weighted by the ratios of the actions' probabilities, make a Markov chain; its stationary shares
    weight the rewards and times. Contributions hold the relative values, so that their spread tells the error.
    """
    n, count = len(log), cell.number
    size = np.bincount(cell.of, minlength=count)
    if propensity is None:
        ratio = empirical_ratio(log, cell.of, count, target)
    else:
        ratio = _scaled(target[np.arange(n), log.action] / propensity, cell.of, count)
    ends = log.following < 0
    begins = np.bincount(cell.of[log.start[:-1]], minlength=count) / log.episodes
    moves = np.flatnonzero(~ends)
    chain = np.zeros((count, count))
    np.add.at(chain, (cell.of[moves], cell.of[log.following[moves]]), ratio[moves])
    # A terminated episode is followed by the next one; after one that was cut off nobody knows what came.
    over = np.bincount(cell.of[log.terminated & ends], ratio[log.terminated & ends], count)
    chain += over[:, None] * begins
    total = chain.sum(1, keepdims=True)
    chain = np.where(total > 0, chain / np.where(total > 0, total, 1.0), begins)
    system = np.eye(count) - chain.T
    share = np.linalg.lstsq(np.vstack([system, np.ones(count)]), np.append(np.zeros(count), 1.0))[0]
    share = np.maximum(share, 0.0) / np.maximum(share, 0.0).sum()
    weight = (share * n / np.maximum(size, 1))[cell.of]
    both = weight * ratio
    rate = float((both * log.reward).sum() / (both * log.elapsed).sum())
    gain = np.bincount(cell.of, ratio * (log.reward - rate * log.elapsed), count) / np.maximum(size, 1)
    relative = np.linalg.lstsq(np.vstack([np.eye(count) - chain, share]), np.append(gain, 0.0))[0]
    after = np.where(log.terminated, begins @ relative, relative[cell.of[log.following]])
    # The end of a piece that was cut off is left out of the differences, on both sides.
    drift = np.where(ends & ~log.terminated, 0.0, after - relative[cell.of])
    if propensity is None:
        pairs = cell.of * log.actions + log.action
        aim = log.reward - rate * log.elapsed + drift
        mean = shares(log, np.unique(pairs, return_inverse=True)[1], n, aim)
        inner = both * (aim - mean)
        # Totals whose ratio is the rate, and whose first-order influence is the residuals'.
        return Stationary(log.sums(inner) + rate * log.sums(both * log.elapsed), log.sums(both * log.elapsed), weight)
    return Stationary(log.sums(both * (log.reward + drift)), log.sums(both * log.elapsed), weight)

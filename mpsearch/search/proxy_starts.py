"""Policies to begin a search with: a few of the proxy's front, spread over it and over the budgets."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mpsearch.search.best_under import best_under
from mpsearch.search.known_policies import Codes, Floats, KnownPolicies
from mpsearch.search.proxy import Proxy
from mpsearch.search.proxy_front import proxy_front

MOST_FRONT = 2000  # points of the front to choose from; more of them lie no further apart


@lru_cache(maxsize=8)  # one search at a time; samplers are made anew for each ask
def warm_start(policies: KnownPolicies, proxy: Proxy, count: int) -> Codes:
    """At most `count` policies of the proxy's front within the bounds, as far apart as can be.

    First the policy of least loss and the cheapest in each cost, then again and again the one that lies
    farthest from all before it. Distances are between costs and square roots of losses, as shares of their
    range on the front: losses grow by factors from scheme to scheme. The costs are those that are objectives,
    or else have a bound.

    Shape: -> (at most count, C), none of them twice.
    """
    columns = columns_that_matter(policies)
    front = front_within(policies, proxy, MOST_FRONT)
    if len(front) <= count:
        return front
    losses = np.sqrt(proxy.evaluate(front))
    return front[_spread(np.column_stack((losses, policies.evaluate(front)[:, columns])), count)]


@lru_cache(maxsize=8)
def front_within(policies: KnownPolicies, proxy: Proxy, most: int) -> Codes:
    """The proxy's front within the bounds, at most `most` policies; one more where that had to be thinned.

    Thinning can drop the best policy within tight bounds, and all that are within: it is found for itself.

    Shape: -> (F, C), none of them twice.
    """
    found = proxy_front(policies, proxy.losses, columns_that_matter(policies), most=most)
    if (found.ratio == 1).all() or np.isinf(policies.bounds).all():
        return found.codes
    best = _best_within(policies, proxy)
    return found.codes if best is None else np.unique(np.vstack([found.codes, best]), axis=0)


@lru_cache(maxsize=8)
def _best_within(policies: KnownPolicies, proxy: Proxy) -> Codes | None:
    return best_under(policies, proxy.losses, policies.bounds)


def columns_that_matter(policies: KnownPolicies) -> list[int]:
    """Places of the costs that are objectives, or else of those that have a bound."""
    wanted = [column for column in policies.objectives if column is not None]
    return wanted or np.flatnonzero(np.isfinite(policies.bounds)).tolist()


def _spread(points: Floats, count: int) -> list[int]:
    """Rows of points that lie far apart. Shape: points (P, M) with P > count -> count."""
    span = np.ptp(points, axis=0)
    shares = (points - points.min(axis=0)) / np.where(span > 0, span, 1.0)
    rows = list(dict.fromkeys(shares.argmin(axis=0).tolist()))[:count]
    distances = np.min([np.linalg.norm(shares - shares[row], axis=1) for row in rows], axis=0)
    while len(rows) < count:
        rows.append(int(distances.argmax()))
        np.minimum(distances, np.linalg.norm(shares - shares[rows[-1]], axis=1), out=distances)
    return rows

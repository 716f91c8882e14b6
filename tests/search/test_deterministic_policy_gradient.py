import numpy as np
import pytest

from mpsearch.search.deterministic_policy_gradient import ActorCritic, Transitions, _Network


@pytest.fixture
def network():
    return _Network(3, np.random.default_rng(0))


def test_gradients_are_those_of_finite_differences(network):
    generator = np.random.default_rng(1)
    x, slopes = generator.normal(size=(5, 3)), generator.normal(size=5)
    network.weights[:] = generator.normal(size=network.weights.shape) / 4
    network.forward(x)
    of_inputs = network.backward(slopes)
    gradient = np.concatenate([part.ravel() for part in network._slopes])

    def value(weights, inputs):
        network.weights[:] = weights
        return float(network.forward(inputs) @ slopes)

    weights, step = network.weights.copy(), 1e-6
    for place in generator.integers(len(weights), size=40):
        moved = step * (np.arange(len(weights)) == place)
        slope = (value(weights + moved, x) - value(weights - moved, x)) / (2 * step)
        assert gradient[place] == pytest.approx(slope, rel=1e-4, abs=1e-7)
    for place in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[place] = step
        slope = (value(weights, x + moved) - value(weights, x - moved)) / (2 * step)
        assert of_inputs[place] == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_a_network_learns_what_it_is_shown(network):
    x = np.random.default_rng(1).uniform(-1, 1, (64, 3))
    y = x[:, 0] * x[:, 1]
    for _ in range(1000):
        network.backward(2 * (network.forward(x) - y) / len(y))
        network.step(1e-2)
    assert np.square(network.forward(x) - y).mean() < 0.02 * np.square(y).mean()


def test_the_actor_finds_the_action_that_is_rewarded_in_each_state():
    generator = np.random.default_rng(0)
    states = generator.integers(0, 2, size=(400, 1)).astype(float)
    actions = generator.random(400)
    wanted = np.where(states[:, 0] > 0, 0.85, 0.15)
    seen = Transitions(
        states=states,
        actions=actions,
        rewards=-4 * np.abs(actions - wanted),
        following=states,
        goes_on=np.zeros(400),
    )
    agent = ActorCritic(1, generator)
    agent.learn(seen, 1000)
    low, high = agent.act(np.array([[0.0], [1.0]]))
    assert low < 0.4
    assert high > 0.6


def test_two_agents_of_one_seed_are_the_same():
    seen = Transitions(
        states=np.eye(4),
        actions=np.full(4, 0.5),
        rewards=np.arange(4.0),
        following=np.eye(4),
        goes_on=np.ones(4),
    )
    acts = []
    for _ in range(2):
        agent = ActorCritic(4, np.random.default_rng(7))
        agent.learn(seen, 20)
        acts.append(agent.act(np.eye(4)).tolist())
    assert acts[0] == acts[1]

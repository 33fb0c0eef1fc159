"""K4, K5 and K6: time and memory hidden in a configuration."""

import json

from tests.support.hostile.frame import case
from tests.support.presets import rewrite


def configured(preset, change):
    config = json.loads((preset / "config.json").read_text())
    change(config["config"])
    rewrite(preset, "config.json", json.dumps(config))
    return preset


def layer(class_name, name, node=None, module="keras.layers", build=None, **config):
    """A layer of a network; `node` names the layer that it is called on."""
    found = {
        "module": module,
        "class_name": class_name,
        "config": {"name": name, **config},
        "registered_name": None,
        "name": name,
        "inbound_nodes": [] if node is None else [call(node)],
    }
    return found if build is None else {**found, "build_config": {"input_shape": build}}


def call(source, number=0, shape=(None, 4)):
    tensor = {
        "class_name": "__keras_tensor__",
        "config": {"shape": shape, "dtype": "float32", "keras_history": [source, number, 0]},
    }
    return {"args": [tensor], "kwargs": {}}


def entry(shape, name="in"):
    return layer("InputLayer", name, batch_shape=[None, *shape], dtype="float32")


def network(layers, name="net", module="keras.src.models.functional"):
    last = layers[-1]
    return {
        "module": module,
        "class_name": "Functional",
        "config": {
            "name": name,
            "trainable": True,
            "layers": layers,
            "input_layers": [[layers[0]["name"], 0, 0]],
            "output_layers": [[last["name"], max(0, len(last["inbound_nodes"]) - 1), 0]],
        },
        "registered_name": None,
        "name": name,
        "inbound_nodes": [],
    }


def encoder(preset, layers):
    return configured(preset, lambda config: config.update(encoder=network(layers)))


@case("K4", "in a map of types, which is no name", weights=None)
def patterns_of_exponential_time(preset):
    policy = {
        "module": "keras",
        "class_name": "DTypePolicyMap",
        "config": {"default_policy": "float32", "policy_map": {"(a|a|a|aa)+$": "float32"}},
        "registered_name": None,
    }
    return encoder(preset, [entry([4]), layer("Dense", "a" * 200, "in", units=3, dtype=policy)])


@case("K4", "at most 256 patterns", weights=None)
def a_thousand_patterns(preset):
    policies = {f"layer_{i}": "float32" for i in range(1_000)}
    policy = {
        "module": "keras",
        "class_name": "DTypePolicyMap",
        "config": {"default_policy": "float32", "policy_map": policies},
        "registered_name": None,
    }
    return encoder(preset, [entry([4]), layer("Dense", "d", "in", units=3, dtype=policy)])


def _nested(levels, calls):
    inner = network([entry([4]), layer("Identity", "id", "in")], "n0")
    for level in range(levels):
        inner["inbound_nodes"] = [call("in"), *(call(inner["name"], i) for i in range(calls - 1))]
        inner = network([entry([4]), inner], f"n{level + 1}")
    return inner


@case("K4", "2,111,140 calls of layers", weights=None)
def networks_in_networks_called_ten_times_each(preset):
    return configured(preset, lambda config: config.update(encoder=_nested(6, 10)))


@case("K4", "152,946 calls of layers", weights=None)
def networks_in_networks_called_four_times_each(preset):
    return configured(preset, lambda config: config.update(encoder=_nested(8, 4)))


@case("K4", "more than 10,000 classes", weights=None)
def one_layer_called_twenty_thousand_times(preset):
    shared = layer("Identity", "id", "in")
    shared["inbound_nodes"] += [call("id", i) for i in range(4_000)]
    more = [layer("Identity", f"id{j}", "in") for j in range(3)]
    for item in more:
        item["inbound_nodes"] += [call(item["name"], i) for i in range(3_000)]
    return encoder(preset, [entry([4]), *more, shared])


@case("K4", "more than 20,000 tries", weights=None)
def layers_in_reverse_order(preset):
    chain = [layer("Identity", f"l{i}", f"l{i - 1}" if i else "in") for i in range(1_900)]
    return encoder(preset, [*reversed(chain), entry([4])])


@case("K4", "3,001( layers)?", weights=None)
def three_thousand_layers(preset):
    chain = [layer("Identity", f"l{i}", f"l{i - 1}" if i else "in") for i in range(3_000)]
    return encoder(preset, [entry([4]), *chain])


@case("K4", "1,000 different lengths", weights=None)
def a_thousand_lengths(preset):
    dense = [layer("Dense", f"l{i}", "in", units=i + 1) for i in range(1_000)]
    return encoder(preset, [entry([4]), *dense])


@case("K4", "orthogonal matrix of 16,000", weights=None)
def an_orthogonal_matrix(preset):
    start = {"module": "keras.initializers", "class_name": "Orthogonal", "config": {}}
    dense = layer("Dense", "d", "in", units=16_000, kernel_initializer=start)
    return encoder(preset, [entry([16_000]), dense])


@case("K4", "orthogonal matrix of 100,000|more than 268,500,992", weights=None)
def an_orthogonal_matrix_that_is_high(preset):
    start = {"module": "keras.initializers", "class_name": "Orthogonal", "config": {}}
    dense = layer("Dense", "d", "in", units=1_500, kernel_initializer=start)
    return encoder(preset, [entry([100_000]), dense])


@case("K4", "unrolled for 1,000,000 steps", weights=None)
def a_loop_over_a_million_steps(preset):
    return encoder(
        preset, [entry([10**6, 4]), layer("SimpleRNN", "rnn", "in", units=2, unroll=True)]
    )


@case("K5", "of at most 67,108,864 numbers", weights=None)
def a_scalar_mean_of_a_huge_input(preset):
    mean = layer("Normalization", "n", "in", axis=[-1], mean=0.0, variance=1.0)
    return encoder(preset, [entry([2**31]), mean])


@case("K5", "a mean and a variance", weights=None)
def a_scalar_mean_of_a_huge_layer(preset):
    mean = layer("Normalization", "n", "up", axis=[1, 2], mean=0.0, variance=1.0)
    return encoder(preset, [entry([1, 1]), layer("UpSampling1D", "up", "in", size=2**26), mean])


@case("K5", "Normalization that was built for", weights=None)
def a_mean_that_was_built_for_a_huge_shape(preset):
    mean = layer("Normalization", "n", axis=[-1], mean=0.0, variance=1.0, build=[None, 2**30])
    mean["inbound_nodes"] = [call("in")]
    return encoder(preset, [entry([4]), mean])


@case("K5", "would be given 68,719,476,736", weights=None)
def layers_that_are_given_too_much(preset):
    up = [
        layer("UpSampling2D", f"u{i}", f"u{i - 1}" if i else "in", size=[256, 256]) for i in (0, 1)
    ]
    return encoder(preset, [entry([4, 4, 1]), *up, layer("Resizing", "r", "u1", height=9, width=9)])


@case("K5", "describes no model|only be followed by computing it", weights=None)
def what_cannot_be_followed_by_its_shape(preset):
    """PyTorch computes a layer that fails on its device without memory, on 83 examples."""
    wrong = layer("Reshape", "r", "up", target_shape=[-1, 7])
    return encoder(preset, [entry([4, 1]), layer("UpSampling1D", "up", "in", size=2**22), wrong])


def ours(name, **config):
    return {
        "module": "keras_vae",
        "class_name": name,
        "config": config,
        "registered_name": f"keras_vae>{name}",
    }


@case("K5", "masks of|mask", weights=None)
def the_masks_of_a_flow(preset):
    posterior = ours("InverseAutoregressive", latent_dim=40_000, units=40_000, steps=1)
    return configured(preset, lambda config: config.update(posterior=posterior))


@case("K5", "latent_dim=40000, of at most 4,096", weights=None)
def the_mask_of_a_covariance(preset):
    posterior = ours("FullCovariance", latent_dim=40_000)
    return configured(preset, lambda config: config.update(posterior=posterior))


@case("K5", "latent_dim=40000, of at most 4,096", weights=None)
def an_identity_of_forty_thousand(preset):
    prior = ours("GaussianMixture", components=2, latent_dim=40_000)
    return configured(preset, lambda config: config.update(prior=prior))


@case("K6", "couplings=1000000", weights=None)
def a_million_couplings(preset):
    prior = ours("FlowPrior", latent_dim=2, couplings=10**6)
    return configured(preset, lambda config: config.update(prior=prior))


@case("K6", "steps=1000000", weights=None)
def a_million_steps(preset):
    posterior = ours("InverseAutoregressive", latent_dim=2, steps=10**6)
    return configured(preset, lambda config: config.update(posterior=posterior))


@case("K6", "before=1000000", weights=None)
def a_million_masked_convolutions(preset):
    likelihood = ours("MaskedConvolutions", features=1, width=1, before=10**6)
    return configured(preset, lambda config: config.update(likelihood=likelihood))


@case("K6", "a list of 100,000 for 'units'", weights=None)
def a_million_units(preset):
    prior = ours("ChainedPrior", latent_dim=4, top_dim=2, units=[2] * 10**5)
    return configured(preset, lambda config: config.update(prior=prior))


@case("K6", "flows=1000000", weights=None)
def a_million_flows(preset):
    posterior = ours("FlowPosterior", latent_dim=2, flows=10**6)
    return configured(preset, lambda config: config.update(posterior=posterior))


@case("K6", "depth=1000000", weights=None)
def a_pixelcnn_of_a_million_layers(preset):
    prior = ours("GatedPixelCNN", map_shape=[4, 4], num_codes=4, depth=10**6, channels=2)
    return configured(preset, lambda config: config.update(prior=prior))


@case("K6", "power_iterations=1000000", weights=None)
def a_million_power_iterations(preset):
    inner = {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"name": "d", "units": 2},
        "registered_name": None,
    }
    spectral = layer("SpectralNormalization", "s", "in", layer=inner, power_iterations=10**6)
    return encoder(preset, [entry([4]), spectral])

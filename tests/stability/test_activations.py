import pytest
import torch
import torchvision
from torch import nn

import relative_stability as rs
from relative_stability.stability.activations import blocks, hooked, pick_layers


class Residual(nn.Module):
    """x + conv(x), with a rectifier that runs twice and overwrites its input."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(x + self.relu(self.conv(x)))


class Nested(nn.Module):
    """Tuples and dictionaries, as attention and feature pyramids return them."""

    def forward(self, x):
        return x, {"half": x[:, :1] / 2, "names": ["not a tensor"], "pair": [x.mean((2, 3)), torch.arange(3)]}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 3)  # defined first, run last
        self.stem = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(inplace=True))
        self.body = nn.ModuleList([Residual(2), Residual(2)])
        self.nested = Nested()
        self.unused = nn.Linear(1, 1)

    def forward(self, x):
        x = self.stem(x)
        for block in self.body:
            x = block(x)
        x, _ = self.nested(x)
        return self.head(x.mean((2, 3)))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


def names(net, layers, images):
    with torch.no_grad():
        return list(pick_layers(net, layers, images))


def test_blocks_are_members_of_containers_and_the_modules_beside_them(net, images):
    assert blocks(net) == ["head", "stem.0", "stem.1", "stem.2", "body.0", "body.1", "nested", "unused"]
    found = names(net, "blocks", images)
    assert found == ["stem.0", "stem.1", "stem.2", "body.0", "body.1", "nested", "head"]  # as they run, if they run
    assert list(pick_layers(net, "blocks", images).values()) == [512] * 5 + [512 + 256 + 2, 3]


@pytest.mark.parametrize(
    ("name", "expected", "count"),
    [
        ("resnet18", ["conv1", "layer1.0", "layer1.1", "layer4.1", "avgpool", "fc"], 14),
        (
            "vit_b_16",
            ["conv_proj", "encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_11", "heads.head"],
            16,
        ),
        ("googlenet", ["conv1", "inception3a", "inception5b", "fc"], 21),
        ("mobilenet_v2", ["features.0", "features.1", "features.18", "classifier.1"], 21),
        ("regnet_y_400mf", ["stem", "trunk_output.block1.block1-0", "trunk_output.block4.block4-5", "fc"], 19),
    ],
)
def test_blocks_of_well_known_nets(name, expected, count):
    found = blocks(torchvision.models.get_model(name, **({"init_weights": False} if name == "googlenet" else {})))
    assert len(found) == count and [n for n in found if n in expected] == expected


def test_names_patterns_and_the_output_in_the_order_of_execution(net, images):
    assert names(net, ["output", "head", "body.*.conv"], images) == ["body.0.conv", "body.1.conv", "head", ""]
    assert names(net, "body.?", images) == ["body.0", "body.1"]


def test_a_module_that_runs_twice_appears_twice(net, images):
    found = names(net, ["body.0.*"], images)
    assert found == ["body.0.conv", "body.0.relu", "body.0.relu:1"]
    everything = names(net, "all", images)
    assert everything[:5] == ["stem.0", "stem.1", "stem.2", "stem", "body.0.conv"]


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ("hed", "'hed' matches no module of the net; did you mean 'head'"),
        (["layer?.*"], r"'layer\?\.\*' matches no module"),
        ("unused", "unused gives no output for each image"),
        (["head", "unused"], "unused gives no output for each image"),
    ],
)
def test_layers_that_are_not_there_are_refused(net, images, layers, sentence):
    with pytest.raises(rs.InputError, match=sentence):
        names(net, layers, images)


def test_a_function_has_no_layers_but_its_output(images):
    result = rs.measure(lambda x: x.flatten(1), images, displacement=[1], layers="output")
    assert result.layer.values.tolist() == ["output"]
    with pytest.raises(rs.InputError, match=r"needs a torch\.nn\.Module with named modules"):
        rs.measure(lambda x: x, images, displacement=[1], layers="blocks")


def test_hooks_are_removed_and_the_users_own_stay(net, images):
    seen = []
    net.head.register_forward_hook(lambda *_: seen.append(1))
    rs.measure(net, images, displacement=[1], layers="all")
    assert seen and sum(len(m._forward_hooks) for m in net.modules()) == 1
    with pytest.raises(RuntimeError), hooked(net, ["head", "stem"]):
        raise RuntimeError
    assert sum(len(m._forward_hooks) for m in net.modules()) == 1


@pytest.mark.parametrize("estimator", ["mean", "median"])
def test_a_layer_is_measured_as_a_net_that_ends_there(net, images, estimator):
    """Also where a later module overwrites the layer's memory, as a rectifier in place does."""
    options = {"displacement": [0.5, 1], "estimator": estimator, "batch_norm": "running"}
    deep = rs.measure(net, images, layers=["stem.0", "stem.1", "body.0", "head"], **options)
    assert deep.R.dims == ("layer", "cut", "displacement")
    assert deep.depth.values.tolist() == [0, 1, 2, 3] and "depth" in deep.coords
    short = {
        "stem.0": net.stem[0],
        "stem.1": net.stem[:2],
        "body.0": lambda x: net.body[0](net.stem(x)),
        "head": net,
    }
    for name, part in short.items():
        alone = rs.measure(part, images, **options)
        for quantity in ("D", "G", "R", "R_interval"):
            expected = alone[quantity].values
            torch.testing.assert_close(
                torch.from_numpy(deep[quantity].sel(layer=name).values), torch.from_numpy(expected), rtol=1e-4, atol=0
            )


@pytest.mark.parametrize("estimator", ["mean", "median"])
def test_batches_change_nothing_in_any_layer(net, images, estimator):
    options = {"displacement": [0.5, 1], "layers": "all", "estimator": estimator, "batch_norm": "running", "draws": 2}
    whole, parts = (rs.measure(net, images, batch_size=size, **options) for size in (500, 5))
    for name in ("D", "G", "R", "D_interval", "R_interval"):
        torch.testing.assert_close(
            torch.from_numpy(parts[name].values), torch.from_numpy(whole[name].values), rtol=1e-4, atol=1e-7
        )


def test_outputs_that_are_tuples_or_dictionaries_are_measured_whole(images):
    both = rs.measure(lambda x: {"a": (x, x * 2), "b": [x.mean(1)]}, images, displacement=[1])
    parts = torch.cat([images.flatten(1), 2 * images.flatten(1), images.mean(1).flatten(1)], dim=1)
    assert parts.shape[1] == 512 * 2 + 256
    joined = rs.measure(
        lambda x: torch.cat([x.flatten(1), 2 * x.flatten(1), x.mean(1).flatten(1)], 1), images, displacement=[1]
    )
    assert float(both.R.squeeze()) == pytest.approx(float(joined.R.squeeze()), rel=1e-6)
    with pytest.raises(rs.InputError, match="holds no tensor with one entry for each of 7 images"):
        rs.measure(lambda x: x.sum(), images, displacement=[1])


class Named(nn.Module):
    """A module called output that is not the last, and a forward that asks for gradients."""

    def __init__(self):
        super().__init__()
        self.output, self.head = nn.Linear(512, 4), nn.Linear(4, 2)

    @torch.enable_grad()
    def forward(self, x):
        return {"logits": self.head(self.output(x.flatten(1))), "score": x.mean((1, 2, 3))}


def test_a_module_called_output_is_that_module_and_the_default_is_the_whole(images):
    torch.manual_seed(0)
    net = Named()
    deep = rs.measure(net, images, displacement=[1], layers=["head", "output"])
    assert deep.layer.values.tolist() == ["output", "head"]
    alone = rs.measure(lambda x: net.output(x.flatten(1)), images, displacement=[1])
    assert float(deep.R.sel(layer="output").squeeze()) == pytest.approx(float(alone.R.squeeze()), rel=1e-5)
    whole = rs.measure(lambda x: torch.cat([net(x)["logits"], net(x)["score"][:, None]], 1), images, displacement=[1])
    assert float(rs.measure(net, images, displacement=[1]).R.squeeze()) == pytest.approx(
        float(whole.R.squeeze()), rel=1e-5
    )


def test_a_layer_that_changes_its_size_is_named(images):
    class Fickle(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, : 512 if len(x) == 7 else 100]

    net = nn.Sequential(Fickle())
    with pytest.raises(rs.InputError, match="layer '0' gave 512 numbers an image in one pass and 100 in another"):
        rs.measure(net, images, displacement=[1], layers="0")


def test_a_compiled_net_says_why_it_shows_no_layers(images):
    class Compiled(nn.Module):
        def __init__(self):
            super().__init__()
            self._orig_mod = nn.Sequential(nn.Flatten(), nn.Linear(512, 2))

        def forward(self, x):
            return x.flatten(1)  # as compiled code does, past the modules and their hooks

    with pytest.raises(rs.InputError, match="a compiled net calls no hooks: measure it before it is compiled"):
        rs.measure(Compiled(), images, displacement=[1], layers="all")

"""A small zoo: nets that the golden run has trained, exported as strangers export theirs, and given back to it."""

import shutil

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

import relative_stability as rs
from relative_stability.core.store import read_attributes
from relative_stability.nets.external import load_net
from tests.workflow.project import Project

pytestmark = pytest.mark.workflow

CNN = "relative_stability:build_net('cnn', 1, 10, 12, width=0.5)"
ZOO = {
    "datasets": {"digits": {"image_size": 12}},
    "stability": {"images": 100, "displacement": [0.5, 1]},
    "nets": {
        "checkpoint": {"architecture": CNN, "weights": "zoo/cnn.pth"},
        "safe": {"architecture": "relative_stability:build_net('fc', 1, 10, 12, width=32, depth=2)",
                 "weights": "zoo/fc.safetensors"},
        "program": {"architecture": "zoo/cnn.pt2", "class_names": "zoo/classes.txt"},
        "module": {"architecture": "strange:Net", "weights": "zoo/strange.bin", "mean": [0.5], "std": [0.25]},
        "large": {"architecture": "torchvision:resnet18", "weights": "zoo/resnet18.pt", "classes": 10, "size": 32},
    },
    "sweeps": {
        "zoo": {"datasets": ["digits"], "nets": ["checkpoint", "safe", "program", "module", "large"],
                "training": "none"},
        "inside": {"datasets": ["digits"], "nets": ["checkpoint", "large"], "training": "none", "P": [64],
                   "observables": ["output", "depth"]},
    },
    "figures": {"error_vs_R": {"sweep": "zoo"}, "depth": {"sweep": "inside"}},
}  # fmt: skip
STRANGE = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 4, 3), nn.Linear(400, 10)
    def forward(self, x):
        return {"scores": self.last(self.first(x).view(len(x), -1))}
"""


@pytest.fixture(scope="module")
def zoo(finished, tmp_path_factory):
    project = Project(shutil.copytree(finished.path, tmp_path_factory.mktemp("zoo") / "project"))
    folder = project.path / "zoo"
    folder.mkdir()
    nets = {}
    for name in ("fc", "cnn"):
        (curves,) = project.path.glob(f"results/training/digits/{name}/P64/seeds0-1.*.nc")
        nets[name] = rs.load_run(curves, seed=0)
    weights = nets["cnn"].net.state_dict()
    torch.save({"epoch": 3, "model": {f"module.{key}": value for key, value in weights.items()}}, folder / "cnn.pth")
    save_file(nets["fc"].net.state_dict(), folder / "fc.safetensors")
    batch = ({0: torch.export.Dim.DYNAMIC},)
    exported = torch.export.export(nets["cnn"].net, (torch.rand(2, 1, 12, 12),), dynamic_shapes=batch)
    torch.export.save(exported, folder / "cnn.pt2")
    (folder / "classes.txt").write_text("\n".join("0123456789"))
    (project.path / "strange.py").write_text(STRANGE)
    torch.manual_seed(0)
    first, last = torch.nn.Conv2d(1, 4, 3), torch.nn.Linear(400, 10)
    torch.save({f"{name}.{k}": v for name, part in (("first", first), ("last", last)) for k, v in
                part.state_dict().items()}, folder / "strange.bin")  # fmt: skip
    torch.save({"state_dict": load_net("torchvision:resnet18", 10)[0].state_dict()},
               folder / "resnet18.pt")  # fmt: skip
    (project.path / "zoo.yaml").write_text(yaml.safe_dump(ZOO))
    ran = project.snakemake(config="zoo.yaml")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return project


def test_given_nets_have_the_stability_and_the_error_that_they_had_when_they_were_trained(zoo, finished):
    given = rs.open_sweep(zoo.path / "results/sweeps/zoo.nc").isel(P=0, seed=0, dataset=0)
    trained = rs.open_sweep(finished.path / "results/sweeps/default.nc").sel(dataset="digits", P=64, seed=0)
    for name, net in {"checkpoint": "cnn", "program": "cnn", "safe": "fc"}.items():
        one, other = given.sel(net=name, state="trained"), trained.sel(net=net, state="trained")
        np.testing.assert_allclose(one.R, other.R, rtol=1e-4)
        assert one.test_error.item() == pytest.approx(other.test_error.item())
    assert given.P.item() == 1100 and "rms_displacement" not in given


def test_what_a_net_was_before_is_measured_where_it_is_known(zoo):
    given = rs.open_sweep(zoo.path / "results/sweeps/zoo.nc").isel(P=0, seed=0, dataset=0, displacement=0)
    there = given.R.sel(state="init").notnull().squeeze()
    assert {str(net): bool(there.sel(net=net)) for net in given.net.values} == {
        "checkpoint": True, "safe": True, "program": False, "module": True, "large": True,
    }  # fmt: skip
    assert given.test_error.sel(state="init").isnull().all()


def test_layers_claims_and_figures_are_those_of_any_sweep(zoo):
    inside = rs.open_sweep(zoo.path / "results/sweeps/inside.nc")
    assert inside.layer_name.sel(net="large").values[0] == "conv1" and inside.R_depth.sizes["layer"] > 8
    claims = (zoo.path / "results/claims.csv").read_text()
    assert "3. log error and log R across nets at P = 1100" in claims
    row = next(line for line in claims.splitlines() if "digits, large" in line and "R after training" in line)
    assert "resampling images" in row and "one seed" not in row
    for name in ("error_vs_R", "depth"):
        assert (zoo.path / f"results/figures/{name}.png").stat().st_size > 1000


def test_files_are_known_by_their_content(zoo):
    assert zoo.jobs("zoo.yaml") == {}
    (made,) = zoo.path.glob("results/training/digits/module/P1100/seeds0.*.nc")
    assert read_attributes(made)["code"]
    file = zoo.path / "zoo/strange.bin"
    kept = file.read_bytes()
    file.write_bytes(kept + b"\0")
    changed = zoo.jobs("zoo.yaml")
    file.write_bytes(kept)
    assert changed["pack"] == 1 and changed["collect"] == 1
    assert zoo.jobs("zoo.yaml") == {}

"""Makes the models of this folder with both of PyTorch's exporters. Run by hand, in an environment of its own:

pip install torch==2.13.0 onnx onnxscript numpy && python make_models.py
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

FOLDER = Path(__file__).parent


class Viewed(nn.Module):
    """Flattens with view(size(0), -1), whose shape the exporters compute from the dynamic batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.view(x.size(0), -1)
        x = torch.clamp(self.first((x - 0.5) / 0.25), 0.0, 6.0)
        return torch.softmax(self.second(x), dim=1)


NETWORKS = {
    "mlp": lambda: nn.Sequential(
        nn.Flatten(),
        nn.Linear(12, 8),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(8, 6, bias=False),
        nn.Tanh(),
        nn.Linear(6, 5),
        nn.LeakyReLU(0.1),
        nn.Linear(5, 4),
        nn.Sigmoid(),
        nn.Linear(4, 3),
    ),
    "normed": lambda: nn.Sequential(
        nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 6), nn.ReLU6(), nn.Hardsigmoid(), nn.Linear(6, 2)
    ),
    "viewed": Viewed,
}


def main() -> None:
    warnings.filterwarnings("ignore")
    for name, make in NETWORKS.items():
        torch.manual_seed(7)
        model = make()
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm1d):
                for tensor in (layer.running_mean, layer.running_var, layer.weight.data, layer.bias.data):
                    tensor.uniform_(0.5, 1.5)
        model.eval()
        x = torch.rand(5, 3, 4)
        np.savez(FOLDER / f"{name}.npz", x=x.numpy(), y=model(x).detach().numpy())
        torch.onnx.export(
            model,
            (x,),
            FOLDER / f"{name}_legacy.onnx",
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}},
        )
        torch.onnx.export(
            model, (x,), FOLDER / f"{name}_dynamo.onnx", dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},)
        )
        torch.onnx.export(model, (x[:1],), FOLDER / f"{name}_fixed.onnx", dynamo=True, external_data=False)


if __name__ == "__main__":
    main()

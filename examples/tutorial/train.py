"""The network of docs/tutorial.md: scikit-learn's 8x8 digits, 64-48-10, trained in PyTorch and exported to ONNX.

Run: python train.py   (needs torch, onnxscript and scikit-learn; some seconds). Makes digits.onnx and digits.npz.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

digits = load_digits()
x = (digits.data / 16.0).astype(np.float32)
x_train, x_test, y_train, y_test = train_test_split(x, digits.target, test_size=500, random_state=1)

torch.manual_seed(1)
net = torch.nn.Sequential(torch.nn.Linear(64, 48), torch.nn.Tanh(), torch.nn.Linear(48, 10))
optimizer = torch.optim.Adam(net.parameters(), lr=0.003, weight_decay=1e-3)
for _ in range(60):
    for batch in torch.randperm(len(x_train)).split(32):
        loss = torch.nn.functional.cross_entropy(
            net(torch.from_numpy(x_train[batch])), torch.from_numpy(y_train[batch])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
accuracy = (net(torch.from_numpy(x_test)).argmax(1).numpy() == y_test).mean()
print(f"test accuracy {100 * accuracy:.2f} %")

torch.onnx.export(
    net, (torch.zeros(2, 64),), "digits.onnx", input_names=["x"], output_names=["y"],
    dynamic_shapes=({0: "n"},), external_data=False,
)  # fmt: skip
np.savez_compressed("digits.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
